//! A Rust file as the tidy rules see it: comments and literals blanked, test modules known.
//!
//! It is a scanner and not a parser: it knows where comments, literals and braces are, and nothing of
//! types. Lines keep their numbers, because blanks replace what is masked.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file of the workspace.
pub struct Source {
    /// Relative to the workspace, with `/`.
    pub path: String,
    /// As it stands on disk.
    pub text: String,
    /// The same number of lines, with comments and the insides of literals blanked.
    pub code: String,
    /// The byte ranges of `#[cfg(test)] mod ... { }`; all of a file that is such a module.
    tests: Vec<Range<usize>>,
}

impl Source {
    /// Scans `text` as the file `path`.
    pub fn new(path: &str, text: &str) -> Self {
        let code = mask(text);
        let whole = is_test_file(path).then_some(0..code.len());
        let tests = whole.map_or_else(|| test_modules(&code), |whole| Vec::from([whole]));
        Self { path: path.to_owned(), text: text.to_owned(), code, tests }
    }

    /// Whether the whole file is a test module of another.
    pub fn is_tests(&self) -> bool {
        is_test_file(&self.path)
    }

    /// Whether the byte at `at` belongs to a test module.
    pub fn is_in_tests(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }

    /// The line number, from 1, of the byte at `at`.
    pub fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Lines that hold code, outside test modules.
    pub fn code_lines(&self) -> usize {
        let mut at = 0;
        let mut count = 0;
        for line in self.code.split_inclusive('\n') {
            count += usize::from(!line.trim().is_empty() && !self.is_in_tests(at));
            at += line.len();
        }
        count
    }

    /// Every function outside test modules that has a body: its line, its name, its code lines.
    pub fn functions(&self) -> Vec<(usize, String, usize)> {
        let mut found = Vec::new();
        for at in words(&self.code, "fn") {
            let name: String = self.code[at + 2..].trim_start().chars().take_while(|c| is_word(*c)).collect();
            let Some(body) = body_after(&self.code, at) else { continue };
            if name.is_empty() || self.is_in_tests(at) {
                continue;
            }
            let lines = self.code[at..body.end].lines().filter(|line| !line.trim().is_empty()).count();
            found.push((self.line_of(at), name, lines));
        }
        found
    }

    /// Every path that begins with `crate::` outside test modules, groups written out:
    /// `(line, "wire::rtp::RtpHeader")`.
    pub fn crate_paths(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for at in words(&self.code, "crate") {
            if self.is_in_tests(at) || !self.code[at..].starts_with("crate::") {
                continue;
            }
            for path in expand(&self.code[at + "crate::".len()..]) {
                found.push((self.line_of(at), path));
            }
        }
        found
    }

    /// The starts of the word `word` in the code.
    pub fn words(&self, word: &str) -> Vec<usize> {
        words(&self.code, word)
    }
}

/// Every file below `root` whose name ends in one of `extensions`, except what builds leave behind.
pub fn files(root: &Path, extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace can be read") {
            let path = entry.expect("a folder of the workspace can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules", "artifacts"].contains(&name.as_str())
                {
                    open.push(path);
                }
            } else if extensions.iter().any(|extension| name.ends_with(extension)) {
                let relative =
                    path.strip_prefix(root).expect("it was found below").to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                found.push(Source::new(&relative.replace('\\', "/"), &text));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(code: &str, word: &str) -> Vec<usize> {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| !code[..at].chars().next_back().is_some_and(is_word))
        .filter(|&at| !code[at + word.len()..].chars().next().is_some_and(is_word))
        .collect()
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`; anything after the path is left alone.
fn expand(code: &str) -> Vec<String> {
    let head: String = code.chars().take_while(|c| is_word(*c) || *c == ':').collect();
    let rest = &code[head.len()..];
    if !rest.starts_with('{') {
        return vec![head.trim_end_matches(':').to_owned()];
    }
    let end = matching_brace(rest, 0).unwrap_or(rest.len());
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in rest[1..end.saturating_sub(1).max(1)].chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
        .flat_map(expand)
        .map(|part| format!("{head}{part}"))
        .collect()
}

fn test_modules(code: &str) -> Vec<Range<usize>> {
    code.match_indices("#[cfg(test)]")
        .filter_map(|(at, _)| body_after(code, at).map(|body| at..body.end))
        .collect()
}

/// The braces that follow `at`, unless a `;` comes first.
fn body_after(code: &str, at: usize) -> Option<Range<usize>> {
    let mut depth = 0i32;
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return None,
            '{' if depth == 0 => {
                let end = matching_brace(code, at + offset)?;
                return Some(at + offset..end);
            }
            _ => {}
        }
    }
    None
}

/// The byte after the brace that closes the one at `open`.
fn matching_brace(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (offset, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(open + offset + 1);
        }
    }
    None
}

/// Blanks comments and the insides of literals, byte for byte, so that positions and lines stay.
fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'r' if !is_word_before(bytes, at) && raw_hashes(bytes, at).is_some() => raw_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'\'' => char_end(bytes, at).unwrap_or(at + 1),
            _ => {
                at += 1;
                continue;
            }
        };
        if end > at + 1 {
            out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
        at = end;
    }
    String::from_utf8(out).expect("whole comments and literals were blanked")
}

fn is_word_before(bytes: &[u8], at: usize) -> bool {
    let before = if at > 0 { bytes[at - 1] } else { b' ' };
    // `br"..."` is one literal: the `b` belongs to it.
    before != b'b' && (before.is_ascii_alphanumeric() || before == b'_')
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn raw_hashes(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_end(bytes: &[u8], at: usize) -> usize {
    let hashes = raw_hashes(bytes, at).unwrap_or(0);
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let inside = at + hashes + 2;
    bytes[inside..]
        .windows(close.len())
        .position(|window| window == close)
        .map_or(bytes.len(), |length| inside + length + close.len())
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a character literal, or `None` for a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        // The byte after the backslash may be a quote itself.
        let close = bytes[at + 3..].iter().position(|byte| *byte == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    let first = *bytes.get(at + 1)?;
    let length = match first {
        0x00..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (bytes.get(at + 1 + length) == Some(&b'\'')).then_some(at + 2 + length)
}
