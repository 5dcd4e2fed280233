//! A database in a folder: written, closed, opened again, backed up.
// SPDX-License-Identifier: Apache-2.0
use omen::{Batch, Db, DbOptions, Detail, Ids, Options, Query, State, Status};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;

/// A fresh folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = env::temp_dir().join(format!("omen-rust-{}-{}", name, process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_written_is_there_again() {
    let folder = Folder::new("reopen");
    let path = folder.0.join("db");
    {
        let db = Db::open(&path).unwrap();
        let c = db.create("points", &Options::new(2)).unwrap();
        c.add(&Batch::new(&[1.0f32, 1.0, 5.0, 5.0], 2).ids(Ids::U64(&[10, 20]))).unwrap();
        c.delete(Ids::U64(&[20])).unwrap();
        let second = Db::open(&path).unwrap_err();
        assert_eq!(second.detail(), Detail::Locked);
    }
    let db = Db::open_with(&path, &DbOptions { must_exist: true, ..Default::default() }).unwrap();
    assert_eq!(db.list().unwrap(), ["points"]);
    let c = db.open_collection("points").unwrap();
    assert_eq!(c.keys().unwrap(), [10]);
    let hits = c.search(&Query::new(&[1.1f32, 1.1], 2).k(1)).unwrap();
    assert_eq!(hits.keys(0), [10]);
    let stats = db.stats().unwrap();
    assert_eq!(stats.state, State::Writable);
    assert!(stats.durable_version >= 2 && stats.collections == 1);
    let missing = Db::open_with(
        folder.0.join("none"),
        &DbOptions { must_exist: true, ..Default::default() },
    );
    assert_eq!(missing.unwrap_err().status(), Status::NotFound);
}

#[test]
fn snapshots_checkpoints_readers_and_backups() {
    let folder = Folder::new("backup");
    let path = folder.0.join("db");
    let db = Db::open(&path).unwrap();
    let c = db.create("points", &Options::new(2)).unwrap();
    let rows: Vec<f32> = (0..2000).map(|i| (i / 2) as f32).collect();
    c.add(&Batch::new(&rows, 2)).unwrap();
    let before = c.snapshot().unwrap();
    c.delete(Ids::U64(&[0, 1, 2])).unwrap();
    assert_eq!((before.count().unwrap(), c.count().unwrap()), (1000, 997));
    db.checkpoint(None).unwrap();
    c.optimize(None).unwrap();

    let reader = Db::open_with(&path, &DbOptions { read_only: true, ..Default::default() }).unwrap();
    let seen = reader.open_collection("points").unwrap();
    assert_eq!(seen.count().unwrap(), 997);
    assert_eq!(reader.stats().unwrap().state, State::ReadOnly);
    c.delete(Ids::U64(&[3])).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(seen.count().unwrap(), 996);

    let (first, second) = (folder.0.join("first"), folder.0.join("second"));
    let made = db.backup(&first, None, None).unwrap();
    assert!(made.files > 0 && made.bytes > 0);
    c.delete(Ids::U64(&[4])).unwrap();
    assert!(db.backup(&second, Some(&first), None).unwrap().version > made.version);
    omen::verify(&first).unwrap();
    let again = folder.0.join("again");
    omen::restore(&first, &again).unwrap();
    let restored = Db::open(&again).unwrap();
    assert_eq!(restored.open_collection("points").unwrap().count().unwrap(), 996);
    assert_eq!(
        omen::restore(&first, &again).unwrap_err().status(),
        Status::AlreadyExists,
        "nothing that is there is overwritten"
    );
}

#[test]
fn estimates() {
    let options = Options::new(128);
    let small = omen::estimate(&options, 100_000, 0).unwrap();
    let large = omen::estimate(&options, 1_000_000, 0).unwrap();
    assert!(large.memory_serving > 5 * small.memory_serving);
    assert!(large.disk_peak >= large.disk && large.disk >= 1_000_000 * 128 * 4);
}
