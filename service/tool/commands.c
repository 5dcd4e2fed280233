/* commands.c - the table of commands with their help texts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#define SHAPE                                                                                     \
    "dim metric dtype id-type m ef-construction quantization rotation entry durability capacity " \
    "max-backlog "
#define WHERE "filter param "

const om_command om_commands[] = {
    {"create", "make an empty collection", "create TARGET --dim N [OPTIONS]", SHAPE "field", 0, 1,
     false,
     "Makes a segment file (TARGET.omen), a collection at the server, or, with --db, one in the\n"
     "database of a folder, which is made when it is missing. What is fixed here cannot be "
     "changed\n"
     "later: the dimension, the metric, the type of the values and of the ids. Fields of the\n"
     "metadata may be declared; those that are not come with their first value.\n"
     "\n"
     "Examples:\n"
     "  omen create shop --dim 768 --metric cosine\n"
     "  omen create images --dim 784 --dtype u8 --server localhost:7700\n"
     "  omen create texts --dim 384 --metric cosine --dtype f16 --id-type string --db ./data\n"
     "  omen create films --dim 256 --field title:text:weight=3 --field text:text --field "
     "seen:time\n",
     om_cmd_create},
    {"import", "add the vectors and metadata of a file", "import TARGET FILE [OPTIONS]",
     SHAPE
     "field create format limit offset batch id-file first-id metadata= mode stream-id again retry "
     "no-wait",
     1, 2, false,
     "Reads fvecs, bvecs, ivecs, npy (f4, f2, i1, u1), MNIST idx or JSON lines\n"
     "({\"id\": 7, \"vector\": [0.1, ...]}), plain, gzip or zstd; '-' is standard input. Memory "
     "use does\n"
     "not depend on the size of the file. Ids are the positions in the file, or those of "
     "--id-file, or\n"
     "those of the JSON lines. Values are converted to the type of the collection only if that "
     "loses\n"
     "nothing. A file is replaced at once when everything is in it, or not at all.\n"
     "\n"
     "All other members of JSON lines are the metadata of the item: {\"id\": 7, \"vector\": "
     "[...],\n"
     "\"title\": \"M\", \"year\": 1931}. With other formats --metadata names JSON lines in the "
     "order of the "
     "rows,\n"
     "whose \"id\", if there, is the id. --mode patch sets the fields that a line tells of (null "
     "unsets) "
     "and\n"
     "leaves all others; its lines need no vector.\n"
     "\n"
     "To a server or into a database (--db) the rows go over one resumable stream, which is named "
     "after\n"
     "file and collection: after a lost connection, a crash of the server or of this tool, the "
     "same\n"
     "command goes on behind the last batch that was durable; nothing is lost and nothing written "
     "twice.\n"
     "A file that was imported before is not written again, unless --again is given. What comes "
     "from "
     "a\n"
     "pipe has a random name: give --stream-id to resume it.\n"
     "\n"
     "Examples:\n"
     "  omen import shop.omen vectors.npy --create --metric cosine\n"
     "  omen import images train-images-idx3-ubyte.gz --create --server localhost:7700\n"
     "  omen import shop.omen more.fvecs.zst --first-id 100000\n"
     "  omen import films vectors.npy --metadata films.jsonl.gz --create --server localhost:7700\n"
     "  omen import shop.omen prices.jsonl --mode patch\n"
     "  zcat rows.jsonl.gz | omen import texts - --format jsonl -s localhost:7700\n",
     om_cmd_import},
    {"search", "find items by vectors, words and examples",
     "search TARGET [FILE | --vector V | --id ID] [--text WORDS] [--like ID] [OPTIONS]",
     "format limit offset vector id text text-field like " WHERE
     "top ef exact explain threads graph-only "
     "skip max-distance min-score fusion weight group-by group-size fields metadata facet",
     0, 2, false,
     "Searches with every row of FILE (any import format), with one vector, or with the vector of "
     "a\n"
     "stored item; with words in the text fields (BM25); with items to be like; or with several of "
     "these,\n"
     "whose lists become one (--fusion, --weight). A filter holds for all of them: --filter \"year "
     ">= "
     "1950\n"
     "AND genres CONTAINS 'Drama'\", with $1, $2, ... for the values of --param. With --json there "
     "is "
     "one\n"
     "object a query and line:\n"
     "  {\"query\": 0, \"hits\": [{\"id\": 7, \"distance\": 0.25}, ...]}\n"
     "Smaller distances are nearer: squared Euclidean (l2), minus the inner product (ip), 1 - "
     "cosine. With\n"
     "words, or several lists, there are scores, and larger is better.\n"
     "\n"
     "Conditions: = != < <= > >= IN (...) BETWEEN a AND b, IS [NOT] NULL, LIKE 'prefix%', CONTAINS "
     "v,\n"
     "CONTAINS ANY|ALL (...), DISTANCE(field, lat, lon) < metres, with NOT, AND, OR and "
     "parentheses.\n"
     "\n"
     "Examples:\n"
     "  omen search shop.omen --vector '[0.12, -0.5, 0.3]' -k 5\n"
     "  omen search shop.omen queries.fvecs.gz --ef 200 --json\n"
     "  omen search images --id 42 --exact --server localhost:7700\n"
     "  omen search films --text '\"new york\" detective' --filter 'year < $1' --param 1950 "
     "--fields "
     "title,year\n"
     "  omen search films --text heist --like 17 --weight 1 --weight 2 --metadata --explain\n",
     om_cmd_search},
    {"get", "show items by id", "get TARGET ID...", "id-file vectors metadata fields versions", 0,
     SIZE_MAX, false,
     "Prints the stored vectors, bit for bit as they were given, or the metadata. Exit code 3 when "
     "one\n"
     "of the ids does not exist (the others are printed).\n"
     "\n"
     "Examples:\n"
     "  omen get shop.omen 7 8 9\n"
     "  omen get films 17 --metadata\n"
     "  omen get texts --id-file wanted.txt --json -s localhost:7700\n",
     om_cmd_get},
    {"items", "list items, filtered and sorted", "items TARGET [OPTIONS]",
     WHERE "order-by desc limit fields", 0, 1, false,
     "Items with their metadata, in the order in which they were written or that of a field; at "
     "most "
     "20,\n"
     "with --json all, unless --limit says otherwise.\n"
     "\n"
     "Examples:\n"
     "  omen items films --filter \"genres CONTAINS 'Western'\" --order-by year --desc -n 5\n"
     "  omen items shop.omen --filter 'stock = 0' --fields name --json\n",
     om_cmd_items},
    {"patch", "change the metadata of an item", "patch TARGET ID '{\"field\": value}'",
     "if-version", 1, 3, false,
     "Sets the fields that are told, unsets those that are null, leaves all others and the "
     "vector.\n"
     "\n"
     "Examples:\n"
     "  omen patch shop.omen 7 '{\"stock\": 0}'\n"
     "  omen patch texts a/b '{\"note\": null}' --if-version 42 -s localhost:7700\n",
     om_cmd_patch},
    {"fields", "list and declare fields of the metadata", "fields TARGET [--field NAME:TYPE...]",
     "field", 0, 1, false,
     "The type of a field never changes. A text field is a string whose words can be searched.\n"
     "\n"
     "Examples:\n"
     "  omen fields films --server localhost:7700\n"
     "  omen fields shop.omen --field name:text:language=german --field tags:string[]\n",
     om_cmd_fields},
    {"delete", "remove items by id or filter", "delete TARGET [ID... | --filter CONDITION]",
     "id-file " WHERE, 0, SIZE_MAX, false,
     "Ids that do not exist are skipped; the number removed is printed.\n"
     "\n"
     "Examples:\n"
     "  omen delete shop.omen 7 8 9\n"
     "  omen delete images --id-file gone.txt --server localhost:7700\n"
     "  omen delete films --filter 'year < $1' --param 1910 --db ./data\n",
     om_cmd_delete},
    {"count", "count the items", "count TARGET [--filter CONDITION] [--facet FIELD]", WHERE "facet",
     0, 1, false,
     "All of them, or those that pass; and how often they have which values of a field.\n"
     "\n"
     "Examples:\n"
     "  omen count images --server localhost:7700\n"
     "  omen count films --filter 'year >= 2000' --facet genres\n",
     om_cmd_count},
    {"stats", "show shape, size and memory", "stats [TARGET]", "", 0, 1, false,
     "Of a collection; without TARGET of the whole database of --server or --db: its state, "
     "versions,\n"
     "segments, log and disk.\n"
     "\n"
     "Examples:\n"
     "  omen stats shop.omen\n"
     "  omen stats images --server localhost:7700 --json\n"
     "  omen stats --db ./data\n",
     om_cmd_stats},
    {"recall", "measure how many true neighbours are found",
     "recall TARGET [--queries FILE --truth FILE]",
     "queries truth sqdist cosine format limit offset top ef exact threads samples seed "
     "graph-only " WHERE,
     0, 1, false,
     "Compares searches with the truth: the ids of a file (ivecs, a row a query), or an exact "
     "search\n"
     "of the same queries (--exact). Without --queries stored items are sampled as queries. An "
     "item as\n"
     "near as the k-th true one counts as found: --sqdist or --cosine give the true distances, "
     "without\n"
     "them only the ids count. With --filter searches are compared with exact ones of the same "
     "filter.\n"
     "\n"
     "Examples:\n"
     "  omen recall shop.omen\n"
     "  omen recall shop.omen --queries q.npy --exact -k 10 --ef 100\n"
     "  omen recall films --filter 'year >= 2000' --samples 500\n"
     "  omen recall images --queries t10k.gz --truth groundtruth.ivecs.gz --sqdist "
     "sqdist.ivecs.gz\n",
     om_cmd_recall},
    {"bench", "measure queries a second and latency", "bench TARGET --queries FILE [OPTIONS]",
     "queries truth sqdist cosine format limit offset top ef exact threads seconds in-flight "
     "graph-only",
     0, 1, false,
     "Runs single searches for a while with 1, 2, ... threads (each with a connection of its own "
     "at a\n"
     "server) and prints queries a second, latencies and, with --truth, recall. --in-flight N "
     "keeps N\n"
     "calls under way on each connection; latency then includes the waiting.\n"
     "\n"
     "Examples:\n"
     "  omen bench shop.omen --queries q.fvecs --threads 1,2,4\n"
     "  omen bench images --queries t10k.gz --threads 1,2 --in-flight 16 -s localhost:7700\n",
     om_cmd_bench},
    {"dump", "write all items to a file or a pipe", "dump TARGET [FILE] [OPTIONS]", "format base64",
     0, 2, false,
     "The items as they are at one moment, whatever is written meanwhile. The format of omen has "
     "a\n"
     "checksum for every block and an end: what was cut or changed is told. JSON lines (a "
     "FILE.jsonl, "
     "or\n"
     "--format jsonl) hold numbers, with --base64 the bytes of the vectors. Both hold the metadata "
     "and\n"
     "the declared fields. Without FILE, or with "
     "'-', "
     "to\n"
     "standard output.\n"
     "\n"
     "Examples:\n"
     "  omen dump shop shop.omendump --db ./data\n"
     "  omen dump texts --server localhost:7700 | zstd > texts.omendump.zst\n"
     "  omen dump shop.omen shop.jsonl --base64\n",
     om_cmd_dump},
    {"load", "put a dump back in", "load TARGET FILE [OPTIONS]",
     SHAPE "field create format limit offset batch mode stream-id again retry no-wait", 1, 2, false,
     "Makes the collection with the shape the dump tells of if it is missing, and adds the items. "
     "Goes on\n"
     "after a crash like import does. JSON lines need a collection, or --create and its shape.\n"
     "\n"
     "Examples:\n"
     "  omen load shop shop.omendump --server localhost:7700\n"
     "  omen load texts texts.omendump.zst --db ./data\n",
     om_cmd_load},
    {"backup", "copy a database while it is in use", "backup NAME [OPTIONS]",
     "previous incremental copy no-wait", 1, 1, false,
     "A consistent copy of all collections. At a server NAME is a name in the folder it was given "
     "for\n"
     "backups (--backup-dir); with --db it is a new folder. Files that do not change are linked "
     "where\n"
     "that is possible. The backup appears whole or not at all.\n"
     "\n"
     "Examples:\n"
     "  omen backup monday --server localhost:7700\n"
     "  omen backup tuesday --previous monday --server localhost:7700\n"
     "  omen backup nightly-2026-11-20 --incremental --server localhost:7700\n"
     "  omen backup /mnt/backups/today --db ./data\n",
     om_cmd_backup},
    {"backups", "list the backups of a server, delete old ones", "backups [OPTIONS]",
     "prefix keep delete", 0, 0, false,
     "What the server has in its folder for backups, newest first. --keep needs --prefix, and "
     "deletes the\n"
     "oldest of those: give backups that must stay another name. Files that several backups share "
     "stay with\n"
     "the others.\n"
     "\n"
     "Examples:\n"
     "  omen backups --server localhost:7700\n"
     "  omen backups --prefix nightly- --keep 14 --server localhost:7700\n"
     "  omen backups --delete monday --server localhost:7700\n",
     om_cmd_backups},
    {"restore", "make a database from a backup", "restore BACKUP TO", "replace once= no-wait", 2, 2,
     false,
     "Checks the backup and copies it into a new folder; nothing that is there is overwritten. At "
     "a\n"
     "server both are names in its folder for backups: start an omend with the new one. It is a "
     "database\n"
     "then, which 'omen backups' neither lists nor deletes. In folders\n"
     "--replace puts it in the place of a database that nobody has open.\n"
     "\n"
     "Examples:\n"
     "  omen restore /mnt/backups/today ./data2\n"
     "  omen restore /mnt/backups/today ./data --replace\n"
     "  omen restore monday monday-again --server localhost:7700\n",
     om_cmd_restore},
    {"verify", "check every byte of a backup or database", "verify [FOLDER | BACKUP]", "no-wait", 0,
     1, false,
     "Reads all files and checks checksums, links, maps and the log. Changes nothing. Exit code 4 "
     "when\n"
     "something is damaged. A database must not be open for writing meanwhile.\n"
     "\n"
     "Examples:\n"
     "  omen verify /mnt/backups/today\n"
     "  omen verify --db ./data\n"
     "  omen verify monday --server localhost:7700\n",
     om_cmd_verify},
    {"optimize", "merge a collection into one segment", "optimize COLLECTION", "no-wait", 0, 1,
     false,
     "Waits until all rows are in the graph and merges all segments into one without dead rows, "
     "which\n"
     "is what searches fastest. Takes as much disk again as the collection while it runs.\n"
     "\n"
     "Examples:\n"
     "  omen optimize shop --db ./data\n"
     "  omen optimize images --server localhost:7700 --no-wait\n",
     om_cmd_optimize},
    {"checkpoint", "write everything into segments", "checkpoint", "no-wait", 0, 0, false,
     "Rows that are only in the log go into segment files, and the log is trimmed: the next start "
     "has\n"
     "nothing to replay.\n"
     "\n"
     "Example:\n"
     "  omen checkpoint --server localhost:7700\n",
     om_cmd_checkpoint},
    {"operations", "list what a server does in the background", "operations [ID] [--cancel]",
     "cancel", 0, 1, false,
     "Backups, restores, verifications, checkpoints and merges: those under way, and for an hour "
     "those\n"
     "that have ended.\n"
     "\n"
     "Examples:\n"
     "  omen operations --server localhost:7700\n"
     "  omen operations 6c0f...-3 --cancel --server localhost:7700\n",
     om_cmd_operations},
    {"estimate", "predict memory and disk", "estimate --rows N --dim N [OPTIONS]",
     SHAPE "rows id-bytes", 0, 0, true,
     "What a collection of this shape will take.\n"
     "\n"
     "Examples:\n"
     "  omen estimate --rows 10M --dim 768\n"
     "  omen estimate --rows 2M --dim 384 --dtype f16 --id-type string --id-bytes 36\n",
     om_cmd_estimate},
    {"list", "list collections", "list [FOLDER]", "", 0, 1, false,
     "The collections of the server or of the database, or the segment files (*.omen) of a "
     "folder.\n"
     "\n"
     "Examples:\n"
     "  omen list --server localhost:7700\n"
     "  omen list ./data\n",
     om_cmd_list},
    {"drop", "remove a collection", "drop TARGET", "", 0, 1, false,
     "Removes the collection of the server or database, or the segment file, for ever. A file that "
     "is "
     "no segment\n"
     "file is left alone.\n"
     "\n"
     "Example:\n"
     "  omen drop images --server localhost:7700\n",
     om_cmd_drop},
    {"info", "describe a file of vectors, or a server", "info [FILE] [--format F]", "format", 0, 1,
     false,
     "Tells what 'omen import' would read from FILE, without reading all of it; with --server "
     "alone the\n"
     "versions and limits of the server.\n"
     "\n"
     "Examples:\n"
     "  omen info vectors.npy\n"
     "  omen info --server localhost:7700\n",
     om_cmd_info},
    {"keys", "the keys that callers show to a server",
     "keys create|list|revoke|whoami [NAME] [OPTIONS]", "grant tenant expires certificate out all",
     1, 2, false,
     "A server that was started with a catalogue (omend --catalog) asks its callers for a key. The "
     "first "
     "one\n"
     "is the one of its --bootstrap-key-file. Creating, listing and revoking needs manage:*.\n"
     "\n"
     "create makes a key and prints its secret, once; the server keeps only a hash. What is "
     "printed beside\n"
     "it goes to standard error, so that > FILE takes the secret alone; --out makes a file that "
     "only its\n"
     "owner may read. --grant ROLE:COLLECTION says what it is for: read (search, get, list, "
     "count), write\n"
     "(and add, change, delete items), manage (and create, drop, optimize collections), each of a\n"
     "collection, of all whose names begin alike (shop-*), or of all (*). With --certificate it is "
     "no\n"
     "secret: who shows a client certificate with this name has the grants.\n"
     "revoke ends a key at once, for calls that run too. whoami tells who the server thinks one "
     "is.\n"
     "\n"
     "Examples:\n"
     "  omen keys create loader --grant write:films --out loader.key --server localhost:7700\n"
     "  omen keys create app --grant read:* --grant write:sessions --expires 90d --out app.key\n"
     "  omen keys list --all --server localhost:7700\n"
     "  omen keys revoke loader --server localhost:7700\n"
     "  omen keys whoami --key-file loader.key --server localhost:7700\n",
     om_cmd_keys},
    {"tenants", "the limits of those who share a server", "tenants [list | set NAME [OPTIONS]]",
     "max-rows max-bytes max-calls max-concurrent max-streams share", 0, 2, false,
     "A key belongs to a tenant, and a collection to the tenant of who created it. set adds a "
     "tenant or\n"
     "changes the limits that are told; the others stay. 0 takes a limit away. Needs manage:*.\n"
     "\n"
     "Examples:\n"
     "  omen tenants --server localhost:7700\n"
     "  omen tenants set shop --max-rows 10M --max-calls 500 --server localhost:7700\n",
     om_cmd_tenants},
    {"certs", "make certificates for tests", "certs dev [FOLDER] [OPTIONS]",
     "host client days renew", 1, 2, true,
     "Makes a local authority in FOLDER (certs), and signs a pair for a server and for each "
     "client: "
     "NAME.pem\n"
     "and NAME.key. What is there is kept; --renew makes all pairs but the authority anew, and a "
     "running "
     "omend\n"
     "takes them up. The authority's key lies beside: this is for tests, not for production.\n"
     "\n"
     "Examples:\n"
     "  omen certs dev\n"
     "  omen certs dev ./certs --host db.example.org --client loader --client app --days 7\n"
     "  omen certs dev --renew\n",
     om_cmd_certs},
    {"top", "watch a server", "top [--admin HOST:PORT] [--interval S] [--once]",
     "admin interval once", 0, 0, false,
     "What a server does, every second: calls, searches by plan with their latencies, ingest, log, "
     "index,\n"
     "memory against the budget, disk, recall as it measures it, and its most used collections. It "
     "reads\n"
     "/metrics of the admin address (--admin-listen of omend), which asks for no key. On a "
     "terminal "
     "it\n"
     "draws over itself until q or Ctrl-C; else it prints block after block. With --json an object "
     "a "
     "line.\n"
     "\n"
     "Examples:\n"
     "  omen top\n"
     "  omen top --admin 10.0.0.5:7701 --interval 5\n"
     "  omen top --once --json | jq .searches\n",
     om_cmd_top},
    {"version", "show the versions", "version", "", 0, 0, true,
     "The versions of the tool, the C interface and the file format, and the kernels in use.\n",
     om_cmd_version},
    {"completion", "print the shell completion", "completion bash", "", 1, 1, true,
     "Example:\n"
     "  source <(omen completion bash)\n",
     om_cmd_completion},
    {"help", "explain a command", "help [COMMAND | exit-codes]", "", 0, 1, true,
     "Example:\n"
     "  omen help import\n",
     om_cmd_help},
};
const size_t om_commands_count = sizeof om_commands / sizeof *om_commands;
