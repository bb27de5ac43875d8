//! Plays a story for many seeds: a few in every test run, thousands at night, or one that failed.
//!
//! | variable           | meaning                                              |
//! |--------------------|------------------------------------------------------|
//! | `SLUICE_SIM_SEEDS` | how many seeds; without it the few of a smoke run     |
//! | `SLUICE_SIM_FIRST` | the first of them; 0 by default                      |
//! | `SLUICE_SIM_SEED`  | only this one, with the end of its trace             |
//! | `SLUICE_SIM_TAIL`  | how many events of it; 40 by default                 |
//! | `SLUICE_SIM_JOBS`  | threads; one for each core by default                |

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::trace::Trace;

/// Events that are shown of the trace of a seed that failed.
const TAIL_LEN: usize = 40;
/// Failures that are shown; more of them rarely say more.
const FAILURES_MAX: usize = 5;
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// How a story ended for one seed.
#[derive(Debug)]
pub struct Played {
    /// What was wrong, if anything was.
    pub failure: Option<String>,
    /// What happened up to then.
    pub trace: Trace,
    /// How long it took in the world's own time.
    pub lasted: Duration,
    /// How often a picture was looked at that had to move.
    pub looks: u64,
    /// What it was about, in one line.
    pub summary: String,
}

/// Plays the story `play` for the seeds that are asked for. `test` is the name of the test that calls.
///
/// # Panics
///
/// If a seed fails, with the command that replays it.
pub fn run(test: &str, smoke: u64, play: impl Fn(u64) -> Played + Sync) {
    if let Some(seed) = variable("SLUICE_SIM_SEED") {
        return replay(seed, &play);
    }
    let first = variable("SLUICE_SIM_FIRST").unwrap_or(0);
    let night = variable("SLUICE_SIM_SEEDS");
    let count = night.unwrap_or(smoke);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let jobs = variable("SLUICE_SIM_JOBS").unwrap_or(if night.is_some() { cores } else { 1 }).max(1);
    let round = Round::new(test, first, count);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| round.work(&play));
        }
        round.watch(night.is_some());
    });
    round.finish();
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a whole number")))
}

fn replay(seed: u64, play: &impl Fn(u64) -> Played) {
    let played = play(seed);
    let tail = variable("SLUICE_SIM_TAIL").map_or(TAIL_LEN, |lines| lines as usize);
    say(&played.trace.tail(usize::MAX, tail));
    let seconds = played.lasted.as_secs_f64();
    let (events, looks) = (played.trace.len(), played.looks);
    say(&format!(
        "seed {seed}: {events} events in {seconds:.1} s, {looks} looks at pictures; {}\n",
        played.summary
    ));
    if let Some(failure) = played.failure {
        panic!("seed {seed}: {failure}");
    }
}

/// The seeds of one test and how far they are.
struct Round<'a> {
    test: &'a str,
    first: u64,
    count: u64,
    next: AtomicU64,
    done: AtomicU64,
    events: AtomicU64,
    looks: AtomicU64,
    virtual_ms: AtomicU64,
    is_over: AtomicBool,
    failures: Mutex<Vec<String>>,
    began_at: Instant,
}

impl<'a> Round<'a> {
    fn new(test: &'a str, first: u64, count: u64) -> Self {
        Self {
            test,
            first,
            count,
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
            events: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            virtual_ms: AtomicU64::new(0),
            is_over: AtomicBool::new(count == 0),
            failures: Mutex::new(Vec::new()),
            began_at: Instant::now(),
        }
    }

    fn work(&self, play: &impl Fn(u64) -> Played) {
        loop {
            let at = self.next.fetch_add(1, Relaxed);
            let has_enough = self.failures.lock().unwrap().len() >= FAILURES_MAX;
            if at >= self.count || has_enough {
                self.is_over.fetch_or(has_enough, Relaxed);
                return;
            }
            let seed = self.first + at;
            match catch_unwind(AssertUnwindSafe(|| play(seed))) {
                Ok(played) => self.note(seed, &played),
                Err(panic) => self.note_failure(seed, &words(panic.as_ref()), ""),
            }
            let done = self.done.fetch_add(1, Relaxed) + 1;
            self.is_over.fetch_or(done == self.count, Relaxed);
        }
    }

    fn note(&self, seed: u64, played: &Played) {
        self.events.fetch_add(played.trace.len() as u64, Relaxed);
        self.looks.fetch_add(played.looks, Relaxed);
        self.virtual_ms.fetch_add(played.lasted.as_millis() as u64, Relaxed);
        if let Some(failure) = &played.failure {
            self.note_failure(seed, failure, &played.trace.tail(usize::MAX, TAIL_LEN));
        }
    }

    fn note_failure(&self, seed: u64, failure: &str, tail: &str) {
        let command = format!(
            "SLUICE_SIM_SEED={seed} cargo test -p tests --test sim {} -- --exact --nocapture",
            self.test
        );
        let text = format!("{tail}seed {seed}: {failure}\n  replay: {command}\n");
        say(&text);
        self.failures.lock().unwrap().push(text);
    }

    /// Says how far it is until it is over.
    fn watch(&self, is_night: bool) {
        let mut said_at = Instant::now();
        while !self.is_over.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
            if is_night && said_at.elapsed() >= PROGRESS_INTERVAL {
                said_at = Instant::now();
                say(&self.progress());
            }
        }
        if is_night {
            say(&self.progress());
        }
    }

    fn progress(&self) -> String {
        let (done, failed) = (self.done.load(Relaxed), self.failures.lock().unwrap().len());
        let seconds = self.began_at.elapsed().as_secs_f64();
        let left = seconds / done.max(1) as f64 * (self.count - done.min(self.count)) as f64;
        let events = self.events.load(Relaxed) as f64 / 1e6;
        let looks = self.looks.load(Relaxed) as f64 / 1e6;
        let virtual_hours = self.virtual_ms.load(Relaxed) as f64 / 3.6e6;
        format!(
            "{}: {done} of {} seeds, {failed} failed, {events:.1} million events, {looks:.2} million looks at \
             pictures, {virtual_hours:.1} h of the world's time in {seconds:.0} s, {left:.0} s left\n",
            self.test, self.count
        )
    }

    fn finish(self) {
        let failures = self.failures.into_inner().unwrap();
        assert!(
            failures.is_empty(),
            "{} of {} seeds failed:\n{}",
            failures.len(),
            self.count,
            failures.concat()
        );
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without words"))
}

/// Past the test harness, which would keep it until the end.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
