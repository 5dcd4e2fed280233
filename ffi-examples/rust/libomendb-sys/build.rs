//! Finds libomendb: `OMENDB_LIB_DIR` and `OMENDB_INCLUDE_DIR` where set, else pkg-config.
// SPDX-License-Identifier: Apache-2.0
use std::env;
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

/// Where the library and its header are.
struct Found {
    lib_dirs: Vec<PathBuf>,
    include: PathBuf,
}

fn fail(message: &str) -> ! {
    eprintln!("libomendb-sys: {}", message);
    exit(1);
}

/// One answer of pkg-config, or why there is none.
fn pkg_config(args: &[&str]) -> Result<String, String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_string());
    let output = Command::new(&program)
        .args(args)
        .arg("omendb")
        .output()
        .map_err(|e| format!("{}: {}", program, e))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_string());
    }
    String::from_utf8(output.stdout).map_err(|e| e.to_string())
}

fn find_by_pkg_config() -> Result<Found, String> {
    let include = pkg_config(&["--variable=includedir"])?;
    let libs = pkg_config(&["--libs-only-L", "--keep-system-libs"])?;
    Ok(Found {
        lib_dirs: libs
            .split_whitespace()
            .filter_map(|flag| flag.strip_prefix("-L"))
            .map(PathBuf::from)
            .collect(),
        include: PathBuf::from(include.trim()),
    })
}

fn find() -> Found {
    match (env::var_os("OMENDB_LIB_DIR"), env::var_os("OMENDB_INCLUDE_DIR")) {
        (Some(lib), Some(include)) => {
            Found { lib_dirs: vec![PathBuf::from(lib)], include: PathBuf::from(include) }
        }
        (None, None) => find_by_pkg_config().unwrap_or_else(|why| {
            fail(&format!(
                "libomendb was not found. Install it, or set PKG_CONFIG_PATH, or set \
                 OMENDB_LIB_DIR and OMENDB_INCLUDE_DIR. pkg-config said: {}",
                why
            ))
        }),
        _ => fail("set both of OMENDB_LIB_DIR and OMENDB_INCLUDE_DIR, or neither"),
    }
}

/// The documentation builder has no libomendb, and needs none: nothing is linked there.
fn main() {
    for name in ["OMENDB_LIB_DIR", "OMENDB_INCLUDE_DIR", "PKG_CONFIG", "PKG_CONFIG_PATH"] {
        println!("cargo:rerun-if-env-changed={}", name);
    }
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    let found = find();
    let header = found.include.join("omen.h");
    if !Path::new(&header).is_file() {
        fail(&format!("{}: no such file", header.display()));
    }
    for dir in &found.lib_dirs {
        println!("cargo:rustc-link-search=native={}", dir.display());
    }
    println!("cargo:rustc-link-lib=dylib=omendb");
    println!("cargo:include={}", found.include.display());
    println!("cargo:rustc-env=OMENDB_HEADER_DIR={}", found.include.display());
    println!("cargo:rerun-if-changed={}", header.display());
}
