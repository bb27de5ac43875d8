//! What a link does, for a person: a line each second, and a table at the end.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::Impairments;
use super::figures::Figures;
use super::line::Counts;

/// What one second brought.
pub(super) fn second(at: Duration, during: &Figures) -> String {
    let [up, down] = [&during.up, &during.down].map(|counts| direction(counts, during.health.elapsed));
    let state = if during.problems().is_empty() { "" } else { "  (late: INVALID)" };
    format!("link {:>4} s  up: {up}  down: {down}{state}", at.as_secs())
}

/// A link that has begun, or is another from now on.
pub(super) fn links(at: Duration, links: &Impairments) -> String {
    format!("link {:>4} s  up is {}, down is {}", at.as_secs(), links.up, links.down)
}

/// All of it, and whether it may be believed.
pub(super) fn summary(figures: &Figures) -> String {
    let seconds = figures.health.elapsed.as_secs_f64();
    let mut text = format!("{:<26} {:>12} {:>12}\n", format!("link, {seconds:.1} s"), "up", "down");
    type Row = (&'static str, fn(&Counts) -> u64);
    let rows: [Row; 6] = [
        ("packets that came", |counts| counts.offered),
        ("passed", |counts| counts.passed),
        ("lost on the way", |counts| counts.lost),
        ("no room in the queue", |counts| counts.queue_full),
        ("more than a link holds", |counts| counts.line_full),
        ("still under way", |counts| counts.held),
    ];
    for (name, of) in rows {
        text += &format!("  {name:<24} {:>12} {:>12}\n", of(&figures.up), of(&figures.down));
    }
    let [up, down] = [&figures.up, &figures.down].map(|counts| mbps(counts, figures.health.elapsed));
    text += &format!("  {:<24} {up:>12.3} {down:>12.3}\n", "Mbit/s that passed");
    let health = &figures.health;
    text += &format!("  latest packet {:.1?} late, {} beyond 1 ms", health.latest, health.late);
    text += &format!("; waited {:.1?} for a CPU", health.waited);
    if let Some(cpu) = figures.cpu_per_packet() {
        text += &format!("; {cpu:.1?} of CPU for a packet");
    }
    text.push('\n');
    for problem in figures.problems() {
        text += &format!("  INVALID: {problem}\n");
    }
    text
}

fn direction(counts: &Counts, elapsed: Duration) -> String {
    let Counts { passed, lost, queue_full, queue, .. } = counts;
    let mbps = mbps(counts, elapsed);
    let queue_ms = queue.as_millis();
    format!(
        "{passed:>5} passed {mbps:>7.2} Mbit/s, {lost:>3} lost, {queue_full:>3} no room, queue {queue_ms:>3} ms"
    )
}

fn mbps(counts: &Counts, elapsed: Duration) -> f64 {
    counts.passed_bytes as f64 * 8.0 / elapsed.as_secs_f64().max(1e-3) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::default();
        figures.health.elapsed = Duration::from_secs(1);
        figures.down =
            Counts { offered: 250, passed: 240, passed_bytes: 250_000, lost: 10, ..Counts::default() };
        figures
    }

    #[test]
    fn a_second_tells_what_passed_and_what_did_not() {
        let text = second(Duration::from_secs(7), &figures());
        for part in ["7 s", "240 passed", "2.00 Mbit/s", "10 lost"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn the_end_says_whether_the_link_may_be_believed() {
        assert!(!summary(&figures()).contains("INVALID"));
        let mut late = figures();
        late.health.late = 100;
        assert!(summary(&late).contains("INVALID") && second(Duration::ZERO, &late).contains("INVALID"));
    }
}
