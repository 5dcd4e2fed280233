//! Metadata, filters, words and searches of several parts, against brute force.
// SPDX-License-Identifier: Apache-2.0
use omen::{
    Batch, Collection, Db, Detail, Field, FieldType, Filter, Find, Fusion, Id, IdType, Ids, Leg,
    Listing, Metadata, Options, Param, Plan, Query, Status,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

const ROWS: usize = 1000;
const DIM: usize = 4;
const GENRES: [&str; 4] = ["Comedy", "Drama", "War", "Western"];
const WORDS: [&str; 6] = ["moon", "train", "desert", "letter", "dragon", "harbour"];

struct Film {
    vector: [f32; DIM],
    year: i64,
    genres: Vec<&'static str>,
    rating: Option<f64>,
    plot: Vec<&'static str>,
}

/// Made-up films, the same in every run; whole numbers make every distance exact.
fn films() -> Vec<Film> {
    let mut state = 7u64;
    let mut draw = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let film = |_| Film {
        vector: [(); DIM].map(|_| draw(100) as f32 - 50.0),
        year: 1900 + draw(100) as i64,
        genres: GENRES.iter().copied().filter(|_| draw(2) == 1).collect(),
        rating: if draw(3) == 0 { None } else { Some(draw(20) as f64 / 4.0) },
        plot: (0..3 + draw(8)).map(|_| WORDS[draw(WORDS.len() as u64) as usize]).collect(),
    };
    (0..ROWS).map(film).collect()
}

fn json(film: &Film) -> String {
    let rating = film.rating.map_or("null".to_string(), |r| format!("{:.2}", r));
    let plot = film.plot.join(" ");
    let (year, genres) = (film.year, &film.genres);
    format!(r#"{{"year": {year}, "genres": {genres:?}, "rating": {rating}, "plot": "{plot}"}}"#)
}

fn collection(films: &[Film]) -> Collection {
    let options = Options::new(DIM as u32).fields(&[Field::new("plot", FieldType::Text)]);
    let c = Db::memory().unwrap().create("films", &options).unwrap();
    let vectors: Vec<f32> = films.iter().flat_map(|film| film.vector).collect();
    let metadata: Metadata = films.iter().map(json).collect();
    let ids: Vec<u64> = (0..films.len() as u64).collect();
    let batch = Batch::new(&vectors, DIM as u32).ids(Ids::U64(&ids));
    assert_eq!(c.add(&batch.metadata(&metadata)).unwrap().applied, films.len() as u64);
    c
}

fn distance(film: &Film, query: &[f32]) -> f32 {
    film.vector.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The truth: keys of all that pass, nearest first, ties by key.
fn nearest(films: &[Film], query: &[f32], passes: impl Fn(&Film) -> bool) -> Vec<u64> {
    let mut all: Vec<(f32, u64)> = (0u64..)
        .zip(films)
        .filter(|(_, film)| passes(film))
        .map(|(key, film)| (distance(film, query), key))
        .collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all.into_iter().map(|(_, key)| key).collect()
}

const QUERY: [f32; DIM] = [3.0, -7.0, 20.0, 11.0];

#[test]
fn filtered_searches_counts_and_facets_are_exact() {
    let films = films();
    let c = collection(&films);
    type Passes = fn(&Film) -> bool;
    let cases: [(Filter, Passes); 5] = [
        (
            c.filter("year >= $1 AND genres CONTAINS $2", &[1950.into(), "Drama".into()]).unwrap(),
            |f| f.year >= 1950 && f.genres.contains(&"Drama"),
        ),
        (c.filter("year IN $1", &[Param::Ints(&[1901, 1955])]).unwrap(), |f| {
            f.year == 1901 || f.year == 1955
        }),
        (c.filter("genres CONTAINS ANY $1", &[Param::Strs(&["War", "Western"])]).unwrap(), |f| {
            f.genres.contains(&"War") || f.genres.contains(&"Western")
        }),
        (c.filter("NOT rating > $1", &[2.5.into()]).unwrap(), |f| {
            f.rating.map_or(false, |r| r <= 2.5)
        }),
        (c.filter("year = 1800", &[]).unwrap(), |_| false),
    ];
    for (filter, passes) in &cases {
        let expected = nearest(&films, &QUERY, passes);
        assert_eq!(c.count_where(filter).unwrap(), expected.len() as u64);
        for query in [Query::new(&QUERY, DIM as u32), Query::new(&QUERY, DIM as u32).exact()] {
            let hits = c.search(&query.filter(filter).explain()).unwrap();
            assert_eq!(hits.keys(0), &expected[..expected.len().min(10)]);
            for hit in hits.query(0) {
                assert_eq!(hit.distance, distance(&films[hit.key as usize], &QUERY));
            }
            let explain = hits.explain(0).unwrap();
            assert_eq!(explain.matches, expected.len() as u64);
            assert_eq!(explain.plan == Plan::Empty, expected.is_empty());
        }
        let mut truth = BTreeMap::new();
        for film in films.iter().filter(|film| passes(film)) {
            film.genres.iter().for_each(|g| *truth.entry(format!("{:?}", g)).or_insert(0u64) += 1);
        }
        let facets = c.facet("genres", Some(filter), 100).unwrap();
        assert!(facets.windows(2).all(|pair| pair[0].count >= pair[1].count));
        assert_eq!(
            facets.into_iter().map(|f| (f.value, f.count)).collect::<BTreeMap<_, _>>(),
            truth
        );
    }
    assert_eq!(c.facet("genres", None, 2).unwrap().len(), 2);
}

#[test]
fn hybrid_is_the_fusion_of_its_lists() {
    let films = films();
    let c = collection(&films);
    let late = c.filter("year >= 1950", &[]).unwrap();
    let vector = c.find(&Find::new(50).vector(&QUERY).filter(&late)).unwrap();
    let text = c.find(&Find::new(50).text("moon dragon").filter(&late)).unwrap();
    assert_eq!((vector.scores().len(), text.distances().len()), (0, 0));
    assert_eq!(vector.keys(), &nearest(&films, &QUERY, |f| f.year >= 1950)[..50]);
    assert!(text.keys().iter().all(|&key| {
        let film = &films[key as usize];
        film.year >= 1950 && film.plot.iter().any(|&word| word == "moon" || word == "dragon")
    }));
    let mut scores = BTreeMap::new();
    for (keys, weight) in [(vector.keys(), 1.0), (text.keys(), 2.0)] {
        for (rank, &key) in keys.iter().enumerate() {
            *scores.entry(key).or_insert(0.0f64) += weight / (10.0 + rank as f64 + 1.0);
        }
    }
    let mut best: Vec<f64> = scores.values().copied().collect();
    best.sort_by(|a, b| b.partial_cmp(a).unwrap());
    let find = Find::new(20)
        .offset(3)
        .leg(Leg::vector(&QUERY).limit(50))
        .leg(Leg::text("moon dragon").field("plot").limit(50).weight(2.0))
        .rank_constant(10.0)
        .filter(&late)
        .explain();
    let found = c.find(&find).unwrap();
    assert_eq!(found.keys().len(), 20);
    for ((key, &score), best) in found.keys().iter().zip(found.scores()).zip(&best[3..]) {
        assert!((f64::from(score) - scores[key]).abs() < 1e-6);
        assert!((f64::from(score) - best).abs() < 1e-6);
    }
    assert_eq!(found.explain().unwrap().plan, Plan::Hybrid);
    let weighted = c.find(&find.clone().fusion(Fusion::Weighted).offset(0)).unwrap();
    assert!(weighted.scores()[0] <= 3.0 && weighted.scores().windows(2).all(|s| s[0] >= s[1]));
}

#[test]
fn groups_thresholds_and_likeness() {
    let films = films();
    let c = collection(&films);
    let order = nearest(&films, &QUERY, |_| true);
    let mut groups: Vec<(i64, Vec<u64>)> = Vec::new();
    for &key in &order {
        let year = films[key as usize].year;
        match groups.iter_mut().find(|(y, _)| *y == year) {
            Some((_, keys)) => keys.push(key),
            None => groups.push((year, vec![key])),
        }
    }
    let expected: Vec<u64> =
        groups.iter().take(5).flat_map(|(_, keys)| keys.iter().take(2).copied()).collect();
    let leg = Leg::vector(&QUERY).limit(ROWS as u32);
    let found = c.find(&Find::new(5).leg(leg).group_by("year", 2)).unwrap();
    assert_eq!(found.keys(), expected);
    assert_eq!((found.groups()[0], found.groups().last()), (0, Some(&4)));

    let bound = distance(&films[order[4] as usize], &QUERY);
    let near = c.find(&Find::new(100).vector(&QUERY).max_distance(bound)).unwrap();
    let within = order.iter().filter(|&&key| distance(&films[key as usize], &QUERY) <= bound);
    assert_eq!(near.keys().len(), within.count());

    let like = c.find(&Find::new(3).like(&order[..1])).unwrap();
    let own = films[order[0] as usize].vector;
    assert_eq!(like.keys(), &nearest(&films, &own, |f| f.vector != own)[..3]);
}

#[test]
fn pages_and_fetches() {
    let films = films();
    let c = collection(&films);
    let war = c.filter("genres CONTAINS 'War'", &[]).unwrap();
    let listing = Listing::new().filter(&war).order_by("year").descending().page(64);
    let pages = c.pages(&listing).unwrap();
    c.delete_where(&c.filter("year < 1950", &[]).unwrap()).unwrap(); // the listing does not mind
    let mut found = Vec::new();
    for page in pages {
        found.extend(page.unwrap().iter().map(|item| item.key));
    }
    let mut expected: Vec<u64> =
        (0..ROWS as u64).filter(|&k| films[k as usize].genres.contains(&"War")).collect();
    expected.sort_by_key(|&key| (-films[key as usize].year, key));
    assert_eq!(found, expected);

    let gone = (0..ROWS).find(|&i| films[i].year < 1950).unwrap() as u64;
    let there = (0..ROWS).find(|&i| films[i].year >= 1950).unwrap() as u64;
    let rows = c.fetch_fields(&[gone, there], &["year"]).unwrap();
    assert!(rows.get(0).is_none() && rows.get(2).is_none());
    let item = rows.get(1).unwrap();
    assert_eq!((item.id, item.version), (Id::U64(there), 1));
    assert_eq!(
        item.metadata.replace(' ', ""),
        format!(r#"{{"year":{}}}"#, films[there as usize].year)
    );
    assert!(c.pages(&Listing::new().order_by("genres")).unwrap().next().unwrap().is_err());
}

#[test]
fn patches_and_conflicts() {
    let options = Options::new(2).id_type(IdType::String);
    let c = Db::memory().unwrap().create("c", &options).unwrap();
    let metadata: Metadata = [r#"{"n": 1, "s": "x"}"#, r#"{"n": 2}"#].iter().collect();
    let ids = Ids::Str(&["a", "b"]);
    c.add(&Batch::new(&[1.0f32, 1.0, 2.0, 2.0], 2).ids(ids).metadata(&metadata)).unwrap();
    let version = c.get(ids).unwrap().get(0).unwrap().version;

    let patch: Metadata = [r#"{"n": null, "t": "y"}"#].iter().collect();
    let batch = Batch::patch(Ids::Str(&["a"]), &patch);
    let write = c.add(&batch.if_version(&[version])).unwrap();
    let rows = c.get(Ids::Str(&["a", "z"])).unwrap();
    let item = rows.get(0).unwrap();
    assert_eq!(item.metadata.replace(' ', ""), r#"{"s":"x","t":"y"}"#);
    assert_eq!(item.version, write.version);
    assert!(rows.get(1).is_none());
    assert_eq!(c.vectors::<f32>(&[item.key]).unwrap(), [1.0, 1.0]);

    let error = c.add(&batch.if_version(&[version])).unwrap_err();
    assert_eq!((error.status(), error.detail()), (Status::Aborted, Detail::VersionConflict));
    assert_eq!(error.item(), Some(0));
    let error = c.add(&Batch::patch(Ids::Str(&["z"]), &patch)).unwrap_err();
    assert_eq!(error.status(), Status::NotFound);
    let error = c.add(&Batch::patch(Ids::Str(&["a", "b"]), &patch)).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument, "two ids, one object");
    let both = Batch::new(&[9.0f32, 9.0], 2).ids(Ids::Str(&["a"])).metadata(&patch);
    c.add(&both.mode(omen::Mode::Patch)).unwrap();
    assert_eq!(c.vectors::<f32>(&[item.key]).unwrap(), [9.0, 9.0]);
}

#[test]
fn fields_and_times() {
    let fields = [Field::new("text", FieldType::Text).language("german").weight(2.0)];
    let c = Db::memory().unwrap().create("c", &Options::new(2).fields(&fields)).unwrap();
    assert_eq!(c.fields().unwrap(), fields);
    c.declare_fields(&[Field::new("when", FieldType::Time)]).unwrap();
    let error = c.declare_fields(&[Field::new("when", FieldType::String)]).unwrap_err();
    assert_eq!((error.status(), error.detail()), (Status::AlreadyExists, Detail::Field));
    for name in ["", "a\0b", "$x", &"x".repeat(129), &"x".repeat(500)] {
        let error = c.declare_fields(&[Field::new(name, FieldType::Bool)]).unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument, "{:?}", name);
    }
    let german = Field::new("t", FieldType::Text).language("german\0");
    assert_eq!(c.declare_fields(&[german]).unwrap_err().status(), Status::InvalidArgument);
    assert_eq!(c.fields().unwrap().len(), 2);

    let metadata: Metadata = [r#"{"when": "1969-07-20T20:17:40Z"}"#].iter().collect();
    c.add(&Batch::new(&[1.0f32, 1.0], 2).metadata(&metadata)).unwrap();
    let landing = UNIX_EPOCH - Duration::from_secs(14_182_940);
    for param in [landing.into(), "1969-07-20T22:17:40+02:00".into()] {
        let filter = c.filter("when = $1", &[param]).unwrap();
        assert_eq!(c.count_where(&filter).unwrap(), 1);
    }
}

#[test]
fn errors_tell_what_is_wrong() {
    let c = collection(&films());
    for (text, detail) in [
        ("year >", Detail::FilterSyntax),
        ("year = $1", Detail::FilterSyntax),
        ("nothing = 1", Detail::Field),
        ("year = 'x'", Detail::Type),
    ] {
        let error = c.filter(text, &[]).unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::InvalidArgument, detail), "{}", text);
    }
    for bad in [r#"{"year":"#, r#"[]"#, r#"{"year": "x"}"#, r#"{"new": {"a": 1}}"#] {
        let metadata: Metadata = ["{}", bad].iter().collect();
        let error = c.add(&Batch::new(&[0.0f32; 8], 4).metadata(&metadata)).unwrap_err();
        assert_eq!((error.status(), error.item()), (Status::InvalidArgument, Some(1)), "{}", bad);
        assert!(matches!(error.detail(), Detail::Metadata | Detail::Type));
    }
    assert_eq!(c.count().unwrap(), ROWS as u64);
    assert_eq!(c.find(&Find::new(0).text("moon")).unwrap_err().detail(), Detail::Limit);
    assert!(c.find(&Find::new(10)).is_err(), "no parts");
    assert!(c.find(&Find::new(10).leg(Leg::text("moon").field("year"))).is_err());
    let other = Db::memory().unwrap().create("other", &Options::new(4)).unwrap();
    let filter = c.filter("year = 1950", &[]).unwrap();
    assert_eq!(other.count_where(&filter).unwrap_err().detail(), Detail::Handle);
}

#[test]
fn filters_outlive_collections_and_serve_all_threads() {
    let filter = Arc::new(collection(&films()).filter("year = 1950", &[]).unwrap());
    drop(filter); // after its collection and database

    let films = films();
    let c = Arc::new(collection(&films));
    let late = Arc::new(c.filter("year >= $1", &[1950.into()]).unwrap());
    let expected = nearest(&films, &QUERY, |f| f.year >= 1950);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (c, late, expected) = (Arc::clone(&c), Arc::clone(&late), expected.clone());
            thread::spawn(move || {
                for _ in 0..50 {
                    let hits = c.search(&Query::new(&QUERY, DIM as u32).filter(&late)).unwrap();
                    assert_eq!(hits.keys(0), &expected[..10]);
                }
            })
        })
        .collect();
    let snapshot = c.snapshot().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(c);
    assert_eq!(snapshot.count_where(&late).unwrap(), expected.len() as u64);
}
