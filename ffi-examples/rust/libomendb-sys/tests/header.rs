//! What `omen.h` declares is declared here: every function, constant and struct field.
// SPDX-License-Identifier: Apache-2.0
use std::collections::BTreeMap;
use std::fs;

fn header() -> String {
    let path = concat!(env!("OMENDB_HEADER_DIR"), "/omen.h");
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {}", path, e));
    strip_comments(&text)
}

fn strip_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        out.push_str(&rest[..start]);
        let end = rest[start..].find("*/").expect("a comment ends");
        rest = &rest[start + end + 2..];
    }
    out + rest
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The identifiers of `text` that begin with `prefix`, each with what follows it.
fn names<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
    text.match_indices(prefix).filter(move |(at, _)| !text[..*at].ends_with(is_name)).map(
        move |(at, _)| {
            let rest = &text[at..];
            rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()))
        },
    )
}

/// The value of a constant, whichever of the two languages wrote it.
fn number(text: &str) -> u64 {
    let text = text.trim().trim_end_matches(['u', ';']).replace('_', "");
    match text.as_str() {
        "UINT64MAX" | "u64::MAX" => u64::MAX,
        hex if hex.starts_with("0x") => {
            u64::from_str_radix(&hex[2..], 16).unwrap_or_else(|_| panic!("{} is no number", hex))
        }
        digits => digits.parse().unwrap_or_else(|_| panic!("{} is no number", digits)),
    }
}

fn constants_of_c(header: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (name, rest) in names(header, "OMEN_") {
        if let Some(value) = rest.trim_start().strip_prefix('=') {
            let end = value.find([',', '}']).expect("an enumerator ends");
            all.insert(name.to_string(), number(&value[..end]));
        }
    }
    for line in header.lines().filter_map(|l| l.strip_prefix("#define OMEN_")) {
        let mut words = line.split_whitespace();
        let name = words.next().expect("a macro has a name");
        match words.next() {
            Some(value) if value.starts_with(|c: char| c.is_ascii_digit() || c == 'U') => {
                all.insert(format!("OMEN_{}", name), number(value));
            }
            _ => assert!(name == "H", "{}: what is it?", name),
        }
    }
    all
}

fn constants_of_rust() -> BTreeMap<String, u64> {
    include_str!("../src/constants.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .map(|line| {
            let (name, rest) = line.split_once(':').expect("a constant has a type");
            (name.to_string(), number(rest.split_once('=').expect("a value").1))
        })
        .collect()
}

#[test]
fn every_constant_has_the_value_of_the_header() {
    let c = constants_of_c(&header());
    assert!(c.len() > 80, "only {} constants were found in the header", c.len());
    assert_eq!(constants_of_rust(), c);
}

#[test]
fn every_function_of_the_header_is_declared() {
    let header = header();
    let functions = include_str!("../src/functions.rs");
    let mut found = 0;
    for (name, rest) in names(&header, "omen_") {
        if rest.starts_with('(') {
            found += 1;
            assert!(functions.contains(&format!("pub fn {}(", name)), "{} is missing", name);
        }
    }
    assert!(found > 30, "only {} functions were found in the header", found);
    assert_eq!(functions.matches("pub fn ").count(), found);
}

#[test]
fn every_struct_of_the_header_is_probed() {
    let probe = include_str!("layout_probe.c");
    let header = header();
    for rest in header.split("typedef struct ").skip(1) {
        let (head, body) = rest.split_once(['{', ';']).expect("a body");
        if head.trim().contains(' ') {
            continue; // an opaque type: "typedef struct x x;"
        }
        let fields = body.split_once('}').expect("a body ends").0.matches(';').count();
        let probed = probe.matches(&format!("FIELD({},", head.trim())).count();
        assert!(probed >= fields, "{}: {} fields probed of {}", head.trim(), probed, fields);
    }
}

#[test]
fn the_library_answers() {
    // SAFETY: these calls take no pointers, or a string constant that ends in NUL.
    unsafe {
        assert_eq!(libomendb_sys::omen_abi_version() >> 16, libomendb_sys::OMEN_ABI_MAJOR);
        let scalar = b"scalar\0";
        assert_eq!(libomendb_sys::omen_has_feature(scalar.as_ptr().cast()), 1);
    }
}
