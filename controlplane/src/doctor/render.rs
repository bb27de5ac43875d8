//! Shows findings: to a person in aligned columns, or to a program as JSON.
#![forbid(unsafe_code)]

use std::fmt::Write;

use super::finding::{Finding, Verdict};
use crate::terminal::{Emphasis, Palette};

/// The width of the column of names, for names that are not longer.
const NAME_WIDTH: usize = 16;

/// For a person. What is as it should be takes a line; the rest says what is wanted and what mends it.
pub fn text(findings: &[Finding], palette: Palette) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0).max(NAME_WIDTH);
    let mut page = format!("sluice doctor, version {}\n\n", env!("CARGO_PKG_VERSION"));
    for finding in findings {
        let (word, emphasis) = word(finding.verdict);
        // Padded before it is painted: colours take no place.
        let word = palette.paint(emphasis, &format!("{word:<4}"));
        let _ = writeln!(page, "  {word}  {:<width$}  {}", finding.check, finding.found);
        for (label, line) in [("wanted", &finding.wanted), ("mend", &finding.remedy)] {
            if let Some(line) = line {
                let label = palette.paint(Emphasis::Dim, &format!("{label:<6}"));
                let _ = writeln!(page, "        {:<width$}  {label}  {line}", "");
            }
        }
    }
    let _ = writeln!(page, "\n{}", summary(findings));
    page
}

/// For a program: the findings, how many of each verdict, and the worst one.
pub fn json(findings: &[Finding]) -> String {
    let count = |verdict| count(findings, verdict);
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    let page = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "verdict": if worst == Verdict::Unknown { Verdict::Ok } else { worst },
        "counts": {
            "ok": count(Verdict::Ok),
            "warn": count(Verdict::Warn),
            "fail": count(Verdict::Fail),
            "unknown": count(Verdict::Unknown),
        },
        "findings": findings,
    });
    format!("{page:#}\n")
}

fn word(verdict: Verdict) -> (&'static str, Emphasis) {
    match verdict {
        Verdict::Ok => ("OK", Emphasis::Good),
        Verdict::Warn => ("WARN", Emphasis::Warning),
        Verdict::Fail => ("FAIL", Emphasis::Bad),
        Verdict::Unknown => ("?", Emphasis::Dim),
    }
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

fn summary(findings: &[Finding]) -> String {
    let count = |verdict| count(findings, verdict);
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (warnings, failures, unknown) = (count(Verdict::Warn), count(Verdict::Fail), count(Verdict::Unknown));
    format!(
        "{} checks: {} OK, {warnings} warning{}, {failures} failure{}, {unknown} that cannot be seen from here",
        findings.len(),
        count(Verdict::Ok),
        plural(warnings),
        plural(failures),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok("kernel", "6.18"),
            Finding::new(Verdict::Warn, "receive buffer", "208 KiB")
                .wanted("8192 KiB")
                .remedy("sysctl -w x=y"),
            Finding::new(Verdict::Unknown, "firewall", "not readable")
                .wanted("open")
                .remedy("nft list ruleset"),
        ]
    }

    #[test]
    fn columns_stand_under_each_other_and_the_last_line_counts() {
        let page = text(&findings(), Palette::PLAIN);
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines[2], "  OK    kernel            6.18");
        assert_eq!(lines[3], "  WARN  receive buffer    208 KiB");
        assert_eq!(lines[4], "                          wanted  8192 KiB");
        assert_eq!(lines[5], "                          mend    sysctl -w x=y");
        let summary = "3 checks: 1 OK, 1 warning, 0 failures, 1 that cannot be seen from here";
        assert_eq!(*lines.last().unwrap(), summary);
    }

    #[test]
    fn json_has_every_finding_and_leaves_out_what_is_not_said() {
        let page: serde_json::Value = serde_json::from_str(&json(&findings())).unwrap();
        assert_eq!(page["verdict"], "warn");
        assert_eq!(page["counts"]["unknown"], 1);
        assert_eq!(page["findings"][1]["remedy"], "sysctl -w x=y");
        assert!(page["findings"][0].get("remedy").is_none());
    }
}
