//! 10,000 real images in one call, found again: recall, threads, cancelling, files.
// SPDX-License-Identifier: Apache-2.0
mod common;

use omen::{Batch, Collection, DataType, Db, Hits, Ids, Op, Options, Plan, Query, Status, WaitFor};
use std::env;
use std::path::PathBuf;

struct Images {
    collection: Collection,
    rows: usize,
    dim: u32,
    queries: Vec<u8>,
    truth: Vec<Vec<u64>>,
}

fn load(db: &Db) -> Images {
    let (rows, dim, images) = common::read_idx("train-images-idx3-ubyte");
    let (_, query_dim, queries) = common::read_idx("t10k-images-idx3-ubyte");
    assert_eq!(dim, query_dim);
    let dim = dim as u32;
    let collection = db.create("images", &Options::new(dim).dtype(DataType::U8)).unwrap();
    let ids: Vec<u64> = (0..rows as u64).collect();
    let batch = Batch::new(&images, dim).ids(Ids::U64(&ids));
    let write = collection.add(&batch).unwrap();
    assert_eq!((write.applied, write.replaced, write.replayed), (rows as u64, 0, false));
    collection.wait(write.version, WaitFor::Indexed, None).unwrap();
    Images { collection, rows, dim, queries, truth: common::read_ivecs("groundtruth.ivecs") }
}

fn recall_at_10(hits: &Hits, truth: &[Vec<u64>]) -> f64 {
    assert_eq!(hits.queries(), truth.len());
    let found = |q: usize| hits.keys(q).iter().filter(|key| truth[q][..10].contains(key)).count();
    (0..truth.len()).map(found).sum::<usize>() as f64 / (10 * truth.len()) as f64
}

fn check_search(images: &Images) {
    let query = Query::new(&images.queries, images.dim).graph_only().explain();
    let hits = images.collection.search(&query).unwrap();
    let recall = recall_at_10(&hits, &images.truth);
    println!("rust: recall@10={:.4}", recall);
    assert!(recall >= 0.95, "recall@10 = {}", recall);
    assert_eq!(hits.explain(0).unwrap().plan, Plan::Graph);
    assert!(hits.distances(0).windows(2).all(|pair| pair[0] <= pair[1]));
    assert!(hits.query(0).all(|hit| hit.distance.is_finite()));
    let exact = images.collection.search(&query.exact()).unwrap();
    assert!(recall_at_10(&exact, &images.truth) > 0.999);
}

fn check_threads(images: &Images) {
    let query = Query::new(&images.queries[..images.dim as usize * 100], images.dim).threads(1);
    let expected = images.collection.search(&query).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let hits = images.collection.search(&query).unwrap();
                assert!((0..100).all(|q| hits.keys(q) == expected.keys(q)));
            });
        }
    });
}

fn check_cancel(images: &Images) {
    let mut op = Op::new().unwrap();
    op.cancel();
    let query = Query::new(&images.queries, images.dim).exact();
    let error = images.collection.search(&query.op(&op)).unwrap_err();
    assert_eq!(error.status(), Status::Cancelled);
    op.reset();
    assert!(images.collection.search(&query.op(&op)).is_ok());
}

fn check_file(db: &Db, images: &Images) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("images.omen");
    images.collection.save(&path, None).unwrap();
    let copy = db.open_file("copy", &path).unwrap();
    assert_eq!(copy.count().unwrap(), images.rows as u64);
    assert!(copy.stats().unwrap().read_only);
    let query = Query::new(&images.queries, images.dim).graph_only();
    assert!(recall_at_10(&copy.search(&query).unwrap(), &images.truth) >= 0.95);
    let row: Vec<u8> = copy.vectors(&[7]).unwrap();
    assert_eq!(row, images.collection.vectors::<u8>(&[7]).unwrap());
    let row = Batch::new(&row, images.dim);
    assert_eq!(copy.add(&row).unwrap_err().detail(), omen::Detail::ReadOnly);
    assert_eq!(db.list().unwrap(), ["copy", "images"]);
}

#[test]
fn images_are_found_again() {
    let db = Db::memory().unwrap();
    let images = load(&db);
    check_search(&images);
    check_threads(&images);
    check_cancel(&images);
    check_file(&db, &images);
    drop(db); // in any order: the collection keeps what it needs
    assert_eq!(images.collection.count().unwrap(), images.rows as u64);
}
