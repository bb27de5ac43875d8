//! What may be built upon: banned crates and accepted licences, read from `.deny.toml`.
//!
//! `cargo deny check` does the same and more where it is installed; this test needs nothing but cargo.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn no_banned_crate_is_built_upon() {
    let banned = list("[bans]", "deny");
    let found: Vec<String> =
        packages().iter().map(|package| text(package, "name")).filter(|name| banned.contains(name)).collect();
    assert!(found.is_empty(), "banned: {}", found.join(", "));
}

#[test]
fn every_licence_is_one_that_we_accept() {
    let allowed = list("[licenses]", "allow");
    let found: Vec<String> = packages()
        .iter()
        .filter(|package| !package["source"].is_null())
        .filter(|package| !is_accepted(package["license"].as_str().unwrap_or(""), &allowed))
        .map(|package| format!("{} ({})", text(package, "name"), package["license"]))
        .collect();
    assert!(found.is_empty(), "not accepted: {}", found.join(", "));
}

#[test]
fn the_direction_between_the_crates_holds() {
    let packages = packages();
    let depends = |from: &str, on: &str| {
        let package = packages.iter().find(|package| text(package, "name") == from).expect("a member");
        package["dependencies"].as_array().unwrap().iter().any(|dependency| text(dependency, "name") == on)
    };
    assert!(depends("controlplane", "dataplane"));
    for above in ["controlplane", "bench", "tests", "tokio", "axum", "serde_json"] {
        assert!(!depends("dataplane", above), "the data plane depends on {above}");
    }
}

#[test]
fn a_licence_expression_is_read_as_it_is_meant() {
    let allowed = ["MIT", "Apache-2.0"].map(str::to_owned);
    for (expression, expected) in [
        ("MIT OR Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("MIT/GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Apache-2.0", true),
        ("(GPL-2.0 OR GPL-3.0) AND Apache-2.0", false),
        ("GPL-3.0", false),
        ("", false),
    ] {
        assert_eq!(is_accepted(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn the_lists_are_not_empty() {
    assert!(list("[bans]", "deny").contains(&"openssl".to_owned()));
    assert!(list("[licenses]", "allow").contains(&"MIT".to_owned()));
}

/// Everything that is resolved, dev- and build-dependencies included, for the host.
fn packages() -> Vec<Value> {
    let host = Command::new("rustc").args(["-vV"]).output().expect("rustc is installed").stdout;
    let host = String::from_utf8(host).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
        .current_dir(workspace())
        .output()
        .expect("cargo is running this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let resolved: Vec<&Value> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| &node["id"]).collect();
    let all = metadata["packages"].as_array().unwrap();
    all.iter().filter(|package| resolved.contains(&&package["id"])).cloned().collect()
}

/// The quoted words of one list of `.deny.toml`.
fn list(table: &str, key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join(".deny.toml")).expect(".deny.toml is there");
    let (_, table) = text.split_once(table).expect("the table is there");
    let (_, rest) = table.split_once(&format!("\n{key} = [")).expect("the key is there");
    let (inside, _) = rest.split_once("\n]").expect("the list ends");
    let lines = inside.lines().map(|line| line.split('#').next().unwrap_or(""));
    lines.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

/// SPDX expressions, as far as crates use them: OR binds weaker than AND, `/` is an old OR.
fn is_accepted(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let is_good = any_of(&words, &mut at, allowed);
    is_good && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut is_good = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        is_good |= all_of(words, at, allowed);
    }
    is_good
}

fn all_of(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut is_good = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        is_good &= one(words, at, allowed);
    }
    is_good
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let word = words.get(*at).copied().unwrap_or("");
    *at += 1;
    if word == "(" {
        let is_good = any_of(words, at, allowed);
        *at += 1;
        return is_good;
    }
    let mut name = word.to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{word} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allowed.contains(&name)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or("").to_owned()
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in the workspace")
}
