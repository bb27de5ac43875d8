//! The rules of the house that a compiler does not check: who may import whom, how long a file and a
//! function may be, where unsafe code may stand and what must not be left lying about.
//!
//! Each rule has a canary below: a small text that breaks it, and is found.

#[path = "tidy/source.rs"]
mod source;

use std::path::Path;

use source::{Source, files};

/// Lines of code in one file, comments and test modules left out.
const FILE_LINES_MAX: usize = 500;
/// Lines of code in one function.
const FUNCTION_LINES_MAX: usize = 70;

/// What a module of the data plane may name of its own crate. The longest prefix of a module's path
/// that stands here decides; its own module is always allowed. `shard` may name everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("time", &[]),
    ("limits", &[]),
    ("counters", &["id", "limits", "time"]),
    ("wire", &["id", "time", "limits", "counters", "media::format"]),
    ("media", &["id", "time", "limits", "counters", "wire", "transport::description"]),
    ("congestion", &["id", "time", "limits", "counters", "wire"]),
    // Why a transport ended is told to the control plane as it is.
    ("transport", &["id", "time", "limits", "counters", "wire", "media::format", "command::CloseReason"]),
    ("command", &["id", "time", "limits", "counters", "media::format", "media::wish", "transport"]),
    ("engine", &["id", "time", "limits", "counters", "wire", "media", "congestion", "transport", "command"]),
    // The backends know bytes and addresses, nothing of RTP.
    ("udp", &["time", "limits", "counters", "transport::path"]),
    ("mmsg", &["time", "limits", "counters", "transport::path", "udp"]),
    ("uring", &["time", "limits", "counters", "transport::path", "udp"]),
];

/// The pure half: no unsafe code, and none can come in.
const PURE: &[&str] =
    &["command", "congestion", "counters", "engine", "id", "limits", "media", "time", "transport", "wire"];

/// Where the data plane may have unsafe code.
const UNSAFE_ROOMS: &[&str] =
    &["dataplane/src/mmsg", "dataplane/src/udp", "dataplane/src/uring", "dataplane/src/shard/affinity"];

/// Words that promise work instead of doing it, put together here so that this file does not hold them.
fn leftovers() -> [String; 4] {
    [["TO", "DO"], ["FIX", "ME"], ["dbg", "!"], ["todo", "!("]].map(|halves| halves.concat())
}

#[test]
fn modules_import_only_what_lies_below_them() {
    check(rust(), wrong_imports);
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    check(rust(), long_file);
    check(scripts(), |source| {
        let lines = source.text.lines().filter(|line| !line.trim().is_empty()).count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", source.path)).into_iter().collect()
    });
}

#[test]
fn no_function_is_longer_than_a_screen() {
    check(rust(), long_functions);
}

#[test]
fn pure_modules_forbid_unsafe_code() {
    let all = rust();
    let heads: Vec<String> =
        all.iter().filter(|file| forbids_unsafe(file)).map(|file| file.path.clone()).collect();
    check(all, |source| unforbidden(source, &heads));
}

#[test]
fn unsafe_code_stays_in_its_rooms_and_says_why_it_holds() {
    check(rust(), wrong_unsafe);
}

#[test]
fn every_module_says_what_it_is_for() {
    check(rust(), |source| {
        let says = source.text.trim_start().trim_start_matches("#![no_main]").trim_start().starts_with("//!");
        (!says && !source.is_tests())
            .then(|| format!("{}: does not begin with //!", source.path))
            .into_iter()
            .collect()
    });
}

#[test]
fn nothing_is_left_to_be_done() {
    check(rust(), leftover_words);
    check(scripts(), leftover_words);
}

#[test]
fn the_data_plane_does_not_know_the_control_plane() {
    let is_above = |source: &Source| {
        let names = ["controlplane", "axum", "tokio", "serde_json"];
        let found = names.iter().filter(|name| !source.words(name).is_empty());
        found.map(|name| format!("{}: names {name}", source.path)).collect()
    };
    check(rust().into_iter().filter(|file| file.path.starts_with("dataplane/")).collect(), is_above);
}

#[test]
fn a_wrong_import_is_found() {
    let found = |path: &str, text: &str| wrong_imports(&Source::new(path, text)).len();
    assert_eq!(found("dataplane/src/media/track.rs", "use crate::transport::Transport;"), 1);
    assert_eq!(found("dataplane/src/media/track.rs", "use crate::{id::Ssrc, congestion::{delay, loss}};"), 2);
    assert_eq!(found("dataplane/src/wire/rtp.rs", "fn f() { crate::engine::run() }"), 1);
    assert_eq!(found("dataplane/src/wire/rtp.rs", "use crate::media::format::Codec; // crate::engine"), 0);
    assert_eq!(
        found("dataplane/src/media/track.rs", "#[cfg(test)]\nmod tests { use crate::engine::Engine; }"),
        0
    );
    assert_eq!(found("dataplane/src/media/tests.rs", "use crate::engine::Engine;"), 0);
    assert_eq!(found("dataplane/src/media/track.rs", "use super::super::engine::Engine;"), 1);
    assert_eq!(found("dataplane/src/engine/mod.rs", "use crate::shard::Shard;"), 1);
}

#[test]
fn a_long_function_and_a_long_file_are_found() {
    let body = "    let x = \"}\"; // }\n".repeat(FUNCTION_LINES_MAX);
    let text = format!("fn short() {{}}\nfn long() {{\n{body}}}\n");
    let found = long_functions(&Source::new("a.rs", &text));
    assert_eq!(found, [format!("a.rs:2: long has {} lines", FUNCTION_LINES_MAX + 2)]);

    let statics = "static A: u8 = 0;\n\n// why\n".repeat(FILE_LINES_MAX);
    assert!(long_file(&Source::new("a.rs", &statics)).is_empty());
    assert_eq!(long_file(&Source::new("a.rs", &format!("{statics}use x;\n"))).len(), 1);
}

#[test]
fn unsafe_code_without_a_reason_is_found() {
    let found = |path: &str, text: &str| wrong_unsafe(&Source::new(path, text)).len();
    assert_eq!(found("dataplane/src/mmsg/mod.rs", "fn f() { unsafe { g() } }"), 1);
    assert_eq!(found("dataplane/src/mmsg/mod.rs", "// SAFETY: g takes nothing.\nunsafe { g() }"), 0);
    assert_eq!(found("dataplane/src/wire/rtp.rs", "// SAFETY: no.\nunsafe { g() }"), 1);
    assert_eq!(found("dataplane/src/wire/rtp.rs", "#![forbid(unsafe_code)] // unsafe"), 0);
}

#[test]
fn a_leftover_and_a_missing_head_are_found() {
    for word in leftovers() {
        assert_eq!(leftover_words(&Source::new("a.rs", &format!("x\n{word} later)\n"))).len(), 1, "{word}");
    }
    let bare = Source::new("dataplane/src/wire/rtp.rs", "//! RTP.\nuse x;");
    assert_eq!(unforbidden(&bare, &[]).len(), 1);
    assert!(unforbidden(&bare, &["dataplane/src/wire/mod.rs".to_owned()]).is_empty());
}

/// Fails with everything that `rule` finds in `files`.
#[track_caller]
fn check(files: Vec<Source>, rule: impl Fn(&Source) -> Vec<String>) {
    assert!(!files.is_empty(), "there is nothing to check");
    let found: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

fn rust() -> Vec<Source> {
    files(workspace(), &[".rs"])
}

fn scripts() -> Vec<Source> {
    files(workspace(), &[".js", ".mjs", ".css", ".html", ".py", ".toml", "tests/run"])
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in the workspace")
}

/// `dataplane/src/media/track.rs` is `media::track`; other crates have no rules.
fn module_of(path: &str) -> Option<String> {
    let inside = path.strip_prefix("dataplane/src/")?.strip_suffix(".rs")?;
    let module = inside.strip_suffix("/mod").unwrap_or(inside);
    (module != "lib").then(|| module.replace('/', "::"))
}

fn is_within(path: &str, module: &str) -> bool {
    path == module || path.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"))
}

fn wrong_imports(source: &Source) -> Vec<String> {
    let Some(module) = module_of(&source.path) else { return Vec::new() };
    let Some((room, allowed)) = MAY_IMPORT.iter().find(|(room, _)| is_within(&module, room)) else {
        return Vec::new();
    };
    let mut paths = source.crate_paths();
    for at in source.words("super") {
        if source.code[at..].starts_with("super::super::super") && !source.is_in_tests(at) {
            paths.push((source.line_of(at), "super::super::super, which nobody can follow".to_owned()));
        }
    }
    // Two steps up from a file right below its room is the crate itself.
    let depth = module.split("::").count();
    for (at, _) in source.code.match_indices("super::super::") {
        if depth <= 2 && !source.is_in_tests(at) {
            let path = source.code[at + "super::super::".len()..].split([';', ' ', '{']).next().unwrap_or("");
            paths.push((source.line_of(at), path.to_owned()));
        }
    }
    paths
        .into_iter()
        .filter(|(_, path)| !is_within(path, room) && !allowed.iter().any(|prefix| is_within(path, prefix)))
        .map(|(line, path)| format!("{}:{line}: {room} must not know {path}", source.path))
        .collect()
}

fn long_file(source: &Source) -> Vec<String> {
    let lines = source.code_lines();
    (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} code lines", source.path)).into_iter().collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    let functions = source.functions().into_iter();
    functions
        .filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX)
        .map(|(line, name, lines)| format!("{}:{line}: {name} has {lines} lines", source.path))
        .collect()
}

fn forbids_unsafe(source: &Source) -> bool {
    source.code.contains("#![forbid(unsafe_code)]")
}

/// The attribute holds for the modules inside too, so a folder may have it in its `mod.rs`.
fn unforbidden(source: &Source, heads: &[String]) -> Vec<String> {
    let Some(module) = module_of(&source.path) else { return Vec::new() };
    let is_pure = PURE.iter().any(|room| is_within(&module, room));
    let folders = source.path.match_indices('/').map(|(at, _)| format!("{}/mod.rs", &source.path[..at]));
    let is_covered = forbids_unsafe(source) || folders.into_iter().any(|head| heads.contains(&head));
    let wrong = is_pure && !is_covered;
    wrong.then(|| format!("{}: no #![forbid(unsafe_code)]", source.path)).into_iter().collect()
}

fn wrong_unsafe(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for at in source.words("unsafe") {
        let rest = source.code[at + "unsafe".len()..].trim_start();
        let line = source.line_of(at);
        let is_block = rest.starts_with('{') || rest.starts_with("impl");
        if source.path.starts_with("dataplane/")
            && !UNSAFE_ROOMS.iter().any(|room| source.path.starts_with(room))
        {
            found.push(format!("{}:{line}: unsafe code outside its rooms", source.path));
        } else if is_block && !has_reason(&lines, line - 1) {
            found.push(format!("{}:{line}: unsafe without a SAFETY line", source.path));
        }
    }
    found
}

/// Whether a comment with SAFETY stands right above `index`, or above the statement it is a part of.
fn has_reason(lines: &[&str], index: usize) -> bool {
    let above = lines[..=index].iter().rev().take(12);
    above.take_while(|line| !line.trim().is_empty()).any(|line| line.contains("SAFETY:"))
}

fn leftover_words(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for word in leftovers() {
            if line.contains(&word) {
                found.push(format!("{}:{}: {word}", source.path, index + 1));
            }
        }
    }
    found
}
