//! Ids, types, streams, limits and errors on small collections.
// SPDX-License-Identifier: Apache-2.0
use omen::{
    Batch, Collection, DataType, Db, Detail, Element, Id, IdType, Ids, Metric, Mode, Options,
    Query, RecallOptions, Status, F16,
};

fn numbered(count: usize) -> Vec<f32> {
    (0..count * 2).map(|i| (i / 2) as f32).collect()
}

fn collection(options: &Options) -> Collection {
    Db::memory().unwrap().create("small", options).unwrap()
}

#[test]
fn keys_are_assigned_and_rise() {
    let c = collection(&Options::new(2));
    assert_eq!(c.add(&Batch::new(&numbered(5), 2)).unwrap().applied, 5);
    let hits = c.search(&Query::new(&[3.1f32, 3.1], 2).k(2)).unwrap();
    assert_eq!(hits.keys(0), [3, 4]);
    let all = c.search(&Query::new(&[0.0f32, 0.0], 2).k(100)).unwrap();
    assert_eq!(all.keys(0), [0, 1, 2, 3, 4], "fewer than k only when there are fewer");
}

#[test]
fn upsert_insert_update_delete() {
    let c = collection(&Options::new(2));
    let vectors = numbered(2);
    let batch = Batch::new(&vectors, 2).ids(Ids::U64(&[10, 20]));
    assert_eq!(c.add(&batch.mode(Mode::Update)).unwrap_err().status(), Status::NotFound);
    assert_eq!(c.add(&batch).unwrap().replaced, 0);
    assert_eq!(c.add(&batch).unwrap().replaced, 2);
    let error = c.add(&batch.mode(Mode::Insert)).unwrap_err();
    assert_eq!(error.status(), Status::AlreadyExists);
    assert_eq!(c.delete(Ids::U64(&[10, 30])).unwrap().applied, 1);
    assert_eq!(c.count().unwrap(), 1);
    assert_eq!(c.keys().unwrap(), [20]);
    assert_eq!(c.vectors::<f32>(&[20]).unwrap(), [1.0, 1.0]);
    assert_eq!(c.vectors::<f32>(&[10]).unwrap_err().status(), Status::NotFound);
}

#[test]
fn ids_may_be_text_or_uuids() {
    let c = collection(&Options::new(2).id_type(IdType::String));
    let vectors = numbered(3);
    let names = ["one", "two", "drei \u{1f409}"];
    c.add(&Batch::new(&vectors, 2).ids(Ids::Str(&names))).unwrap();
    let hits = c.search(&Query::new(&[2.0f32, 2.0], 2).k(1)).unwrap();
    assert_eq!(c.ids(hits.keys(0)).unwrap(), [Some(Id::Str(names[2].to_string()))]);
    let keys = c.lookup(Ids::Str(&["two", "four"])).unwrap();
    assert!(keys[0].is_some() && keys[1].is_none());

    let c = collection(&Options::new(2).id_type(IdType::Uuid));
    c.add(&Batch::new(&vectors, 2).ids(Ids::Uuid(&[[1; 16], [2; 16], [3; 16]]))).unwrap();
    let key = c.lookup(Ids::Uuid(&[[2; 16]])).unwrap()[0].unwrap();
    assert_eq!(c.ids(&[key]).unwrap(), [Some(Id::Uuid([2; 16]))]);
    assert_eq!(c.describe().unwrap().get_id_type(), IdType::Uuid);
}

fn nearest_of<T: Element + Default + PartialEq + std::fmt::Debug>(dtype: DataType, rows: &[T]) {
    let c = collection(&Options::new(2).dtype(dtype).metric(Metric::L2));
    c.add(&Batch::new(rows, 2)).unwrap();
    let hits = c.search(&Query::new(&rows[2..4], 2).k(1)).unwrap();
    assert_eq!((hits.keys(0)[0], hits.distances(0)[0]), (1, 0.0));
    assert_eq!(c.vectors::<T>(&[1]).unwrap(), rows[2..4], "bit for bit");
}

#[test]
fn every_element_type() {
    nearest_of(DataType::F32, &[1.0f32, 2.0, -3.0, 4.5]);
    nearest_of(DataType::F16, &[F16(0x3c00), F16(0x4000), F16(0xc200), F16(0x4480)]);
    nearest_of(DataType::I8, &[1i8, 2, -128, 127]);
    nearest_of(DataType::U8, &[1u8, 2, 0, 255]);
}

#[test]
fn a_batch_is_all_or_nothing() {
    let c = collection(&Options::new(2));
    let error = c.add(&Batch::new(&[1.0f32, 2.0, 3.0, f32::NAN], 2)).unwrap_err();
    assert_eq!((error.status(), error.detail()), (Status::InvalidArgument, Detail::NotFinite));
    assert_eq!(error.item(), Some(1));
    assert!(!error.is_retriable() && !error.message().is_empty());
    assert!(error.to_string().starts_with("INVALID_ARGUMENT: "), "{}", error);
    let error = c.add(&Batch::new(&[1.0f32; 6], 3)).unwrap_err();
    assert_eq!((error.status(), error.detail()), (Status::InvalidArgument, Detail::DimMismatch));
    assert_eq!(c.count().unwrap(), 0);
}

#[test]
fn slices_that_do_not_fit_are_refused_here() {
    let c = collection(&Options::new(2));
    let error = c.add(&Batch::new(&[1.0f32; 3], 2)).unwrap_err();
    assert_eq!(error.detail(), Detail::DimMismatch);
    let error = c.add(&Batch::new(&[1.0f32; 4], 2).ids(Ids::U64(&[1]))).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
    let error = c.search(&Query::new(&[1.0f32; 2], 2).k(u32::MAX)).unwrap_err();
    assert_eq!(error.detail(), Detail::Limit);
}

#[test]
fn names_and_options_are_checked() {
    let db = Db::memory().unwrap();
    for name in ["", "A", "-a", "a b", &"a".repeat(64)] {
        let error = db.create(name, &Options::new(2)).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument, "{:?}", name);
    }
    let longest = "a".repeat(63);
    db.create(&longest, &Options::new(2)).unwrap();
    assert_eq!(db.create(&longest, &Options::new(2)).unwrap_err().status(), Status::AlreadyExists);
    assert_eq!(db.create("nul\0", &Options::new(2)).unwrap_err().detail(), Detail::Name);
    assert_eq!(db.create("d0", &Options::new(0)).unwrap_err().status(), Status::InvalidArgument);
    assert!(db.create("max", &Options::new(65_535)).is_ok());
    assert!(db.create("over", &Options::new(65_536)).is_err());
    assert_eq!(db.open_collection("absent").unwrap_err().status(), Status::NotFound);
    db.drop_collection("max").unwrap();
    assert_eq!(db.list().unwrap(), [longest]);
}

#[test]
fn repeats_are_not_applied_twice() {
    let c = collection(&Options::new(2));
    let vectors = numbered(1);
    let batch = Batch::new(&vectors, 2).request_id("request-1");
    let first = c.add(&batch).unwrap();
    let again = c.add(&batch).unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.version, again.version);

    let (last, epoch) = c.open_stream("feed").unwrap();
    assert_eq!(last, 0);
    let batch = Batch::new(&vectors, 2);
    assert!(!c.add(&batch.stream("feed", 1, epoch)).unwrap().replayed);
    assert!(c.add(&batch.stream("feed", 1, epoch)).unwrap().replayed);
    let gap = c.add(&batch.stream("feed", 3, epoch)).unwrap_err();
    assert_eq!(gap.detail(), Detail::Sequence);
    let (last, newer) = c.open_stream("feed").unwrap();
    assert_eq!(last, 1);
    let fenced = c.add(&batch.stream("feed", 2, epoch)).unwrap_err();
    assert_eq!(fenced.status(), Status::Aborted);
    assert!(!c.add(&batch.stream("feed", 2, newer)).unwrap().replayed);
    assert_eq!(c.count().unwrap(), 3);
}

#[test]
fn recall_is_measured() {
    let c = collection(&Options::new(2));
    c.add(&Batch::new(&numbered(300), 2)).unwrap();
    let recall = c.measure_recall(&RecallOptions { samples: 50, ..Default::default() }).unwrap();
    assert_eq!(recall.samples, 50);
    assert!(recall.recall > 0.99 && recall.low <= recall.recall && recall.recall <= recall.high);
}

#[test]
fn a_missing_file_is_an_error_with_errno() {
    let db = Db::memory().unwrap();
    let error = db.open_file("x", std::path::Path::new("/nonexistent/x.omen")).unwrap_err();
    assert_eq!(error.os_error(), Some(2), "{:?}", error);
}

#[test]
fn numbers_of_a_newer_library_are_kept() {
    assert_eq!(Status::from(99), Status::Other(99));
    assert_eq!(i32::from(Status::Other(99)), 99);
    assert_eq!(Detail::from(2), Detail::DimMismatch);
}
