// hnsw_filter_bench.cpp - the same as filtered_bench.c with hnswlib's C++ headers: a functor over a bitmap decides.
//
//   hnsw_filter_bench FOLDER
//
// Commands and answers are those of filtered_bench.c; EF 0: its BruteforceSearch with the same functor.
// filtered_bench.py compiles it with -O3 -march=native.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <queue>
#include <string>
#include <vector>

#include "hnswlib/hnswlib.h"

namespace
{
constexpr std::uint32_t K = 10;

struct Matrix {
    std::uint32_t rows = 0, dim = 0;
    std::vector<float> data;
};

[[noreturn]] void die(const std::string &what)
{
    std::fprintf(stderr, "hnsw_filter_bench: %s\n", what.c_str());
    std::exit(1);
}

void read(const std::string &path, void *data, std::size_t bytes, std::size_t skip)
{
    std::FILE *file = std::fopen(path.c_str(), "rb");
    if (file == nullptr || std::fseek(file, static_cast<long>(skip), SEEK_SET) != 0 ||
        std::fread(data, 1, bytes, file) != bytes) {
        die(path);
    }
    std::fclose(file);
}

Matrix load(const std::string &path)
{
    std::uint32_t head[2];
    read(path, head, sizeof head, 0);
    Matrix m{head[0], head[1], std::vector<float>(static_cast<std::size_t>(head[0]) * head[1])};
    read(path, m.data.data(), m.data.size() * sizeof(float), sizeof head);
    return m;
}

class Bitmap : public hnswlib::BaseFilterFunctor
{
  public:
    void compile(const std::vector<std::uint32_t> &values, std::uint64_t limit)
    {
        words_.assign((values.size() + 63) / 64, 0);
        for (std::size_t i = 0; i < values.size(); i++) {
            words_[i / 64] |= static_cast<std::uint64_t>(values[i] < limit) << (i % 64);
        }
    }
    bool operator()(hnswlib::labeltype id) override { return (words_[id / 64] >> (id % 64) & 1) != 0; }

  private:
    std::vector<std::uint64_t> words_;
};

using Results = std::priority_queue<std::pair<float, hnswlib::labeltype>>;

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage: hnsw_filter_bench FOLDER");
    }
    const std::string folder = argv[1];
    const Matrix base = load(folder + "/base.bin"), queries = load(folder + "/query.bin");
    std::vector<std::uint32_t> values(base.rows);
    read(folder + "/values.bin", values.data(), values.size() * sizeof values[0], 0);
    hnswlib::L2Space space(base.dim);
    hnswlib::HierarchicalNSW<float> index(&space, base.rows, 16, 200);
    hnswlib::BruteforceSearch<float> flat(&space, base.rows);
    double begun = now();
    for (std::uint32_t i = 0; i < base.rows; i++) {
        index.addPoint(base.data.data() + static_cast<std::size_t>(i) * base.dim, i);
        flat.addPoint(base.data.data() + static_cast<std::size_t>(i) * base.dim, i);
    }
    std::printf("ready %.3f\n", now() - begun);
    std::fflush(stdout);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(queries.rows) * K);
    unsigned long long limit;
    unsigned ef;
    int anew;
    while (std::scanf("%llu %u %d", &limit, &ef, &anew) == 3) {
        Bitmap filter;
        index.setEf(ef);
        begun = now();
        for (std::uint32_t q = 0; q < queries.rows; q++) {
            const float *query = queries.data.data() + static_cast<std::size_t>(q) * queries.dim;
            if (limit != 0 && (q == 0 || anew != 0)) {
                filter.compile(values, limit);
            }
            Bitmap *functor = limit != 0 ? &filter : nullptr;
            Results found = ef == 0 ? flat.searchKnn(query, K, functor) : index.searchKnn(query, K, functor);
            std::int32_t *out = &ids[static_cast<std::size_t>(q) * K];
            std::fill(out, out + K, -1);
            for (; !found.empty(); found.pop()) {
                out[found.size() - 1] = static_cast<std::int32_t>(found.top().second);
            }
        }
        std::printf("%.9f\n", now() - begun);
        std::FILE *file = std::fopen((folder + "/hnswlib.ids").c_str(), "wb");
        if (file == nullptr || std::fwrite(ids.data(), 4, ids.size(), file) != ids.size()) {
            die("hnswlib.ids");
        }
        std::fclose(file);
        std::fflush(stdout);
    }
    return 0;
}
