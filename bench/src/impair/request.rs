//! `link` on the command line: what runs on which side of a link, and what the link does when.
#![forbid(unsafe_code)]

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::Impairments;
use super::spec::{self, Impairment};

const EXAMPLES: &str = "\
Programs reach the server by the address that stands for {server} in their words (and in LINK_SERVER); {client}
is their own. A link is NAME=VALUE,...:
  loss=5%        lost by chance          delay=50ms    time on the way
  burst=3        that many in a row      jitter=10ms   up to so much more; keeps the order
  rate=2mbit     what passes             reorder=1%    overtaken by those behind, by 20 ms
  queue=300ms    or 64KB: what may wait for the rate; more is dropped [default: 200ms]

Examples:
  Sluice, and a browser that gets 2 Mbit/s, of which 2 % are lost, and 500 kbit/s after 20 s:
    bench link --up delay=30ms --down delay=30ms,loss=2%,rate=2mbit --change 20s:down:rate=500kbit -- \\
      chromium --user-data-dir=/tmp/link --unsafely-treat-insecure-origin-as-secure=http://{server}:8080 \\
      'http://{server}:8080/publish/studio?start=1' http://{server}:8080/watch/studio
  The same with a publisher that the link does not touch:
    bench link --down loss=5%,burst=3,delay=50ms --beside 'ffmpeg -re -i film.mp4 -c:v libx264 -profile:v baseline
      -bf 0 -g 30 -b:v 2M -c:a libopus -ar 48000 -ac 2 -f whip http://{server}:8080/whip/studio' -- \\
      chromium --user-data-dir=/tmp/link http://{server}:8080/watch/studio
  Any other server:
    bench link --down rate=1mbit --server 'python3 -m http.server -b {server} 8000' -- \\
      curl -o /dev/null http://{server}:8000/film.mp4";

/// `link ... -- COMMAND...`
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LinkRequest {
    /// The link from COMMAND to the server
    #[arg(long, value_name = "LINK", default_value = "none")]
    up: Impairment,
    /// The link from the server to COMMAND
    #[arg(long, value_name = "LINK", default_value = "none")]
    down: Impairment,
    /// What changes so long after COMMAND was started, repeatable: 10s:down:rate=500kbit. What it does not name
    /// stays; without `up:` or `down:` it holds for both
    #[arg(long, value_name = "TIME:LINK")]
    change: Vec<Change>,
    /// The server, for a shell, instead of the Sluice of this tree on port 8080. COMMAND is started when
    /// something listens on a TCP port
    #[arg(long, value_name = "COMMAND")]
    pub(super) server: Option<String>,
    /// What else runs on the server's side, where the link does not touch it, such as a publisher; for a
    /// shell, repeatable
    #[arg(long, value_name = "COMMAND")]
    pub(super) beside: Vec<String>,
    /// Chance; equal seeds lose equal packets of equal traffic
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Take the Sluice that lies in the target folder as it is
    #[arg(long)]
    pub(super) no_build: bool,
    /// Say nothing each second, only at the end
    #[arg(long)]
    pub(super) quiet: bool,
    /// What runs behind the link
    #[arg(last = true, required = true)]
    pub(super) command: Vec<String>,
}

/// From `after` on the link is another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) after: Duration,
    pub(super) links: Impairments,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    after: Duration,
    direction: Option<Direction>,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((after, link)) = text.split_once(':') else {
            return Err(format!("{text:?} is not TIME:LINK; write for example 10s:down:rate=500kbit"));
        };
        let after = spec::duration(after).map_err(|problem| format!("{text:?}: {problem}"))?;
        let (direction, link) = match link.split_once(':') {
            None => (None, link),
            Some(("up", link)) => (Some(Direction::Up), link),
            Some(("down", link)) => (Some(Direction::Down), link),
            Some((other, _)) => return Err(format!("{text:?}: {other:?} is no direction; it is up or down")),
        };
        Ok(Self { after, direction, text: link.to_owned() })
    }
}

impl LinkRequest {
    /// What the link is at first.
    pub(super) fn links(&self) -> Impairments {
        Impairments { up: self.up, down: self.down }
    }

    /// What it is later, in the order of time.
    ///
    /// # Errors
    ///
    /// A change that cannot be, with the remedy.
    pub(super) fn steps(&self) -> Result<Vec<Step>, String> {
        let mut changes = self.change.clone();
        changes.sort_by_key(|change| change.after);
        let mut links = self.links();
        let mut steps = Vec::new();
        for change in changes {
            let fault = |problem| format!("--change at {:?}: {problem}", change.after);
            if change.direction != Some(Direction::Down) {
                links.up = links.up.changed(&change.text).map_err(fault)?;
            }
            if change.direction != Some(Direction::Up) {
                links.down = links.down.changed(&change.text).map_err(fault)?;
            }
            steps.push(Step { after: change.after, links });
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::{FromArgMatches, error::ErrorKind};

    fn parse(line: &str) -> Result<LinkRequest, clap::Error> {
        let command = LinkRequest::augment_args(clap::Command::new("link"));
        let matches = command.try_get_matches_from(std::iter::once("link").chain(line.split(' ')))?;
        LinkRequest::from_arg_matches(&matches)
    }

    #[test]
    fn changes_come_in_the_order_of_time_and_leave_alone_what_they_do_not_name() {
        let line = "--down loss=1%,rate=2mbit --change 20s:down:rate=1mbit --change 500ms:delay=9ms -- true";
        let steps = parse(line).unwrap().steps().unwrap();
        let texts: Vec<_> = steps
            .iter()
            .map(|step| (step.after, step.links.up.to_string(), step.links.down.to_string()))
            .collect();
        let down = "loss=1%,delay=9ms,rate=2mbit,queue=200ms";
        assert_eq!(texts[0], (Duration::from_millis(500), "delay=9ms".to_owned(), down.to_owned()));
        let down = "loss=1%,delay=9ms,rate=1mbit,queue=200ms";
        assert_eq!(texts[1], (Duration::from_secs(20), "delay=9ms".to_owned(), down.to_owned()));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_value() {
        for (line, part) in [
            ("--up loss=5 -- true", "loss=5"),
            ("--change 10:loss=5% -- true", "unit is missing"),
            ("--change loss=5% -- true", "TIME:LINK"),
            ("--change 10s:left:loss=5% -- true", "left"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
        assert_eq!(parse("--up loss=5%").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        let error = parse("--change 2s:up:queue=5ms -- true").unwrap().steps().unwrap_err();
        assert!(error.contains("2s") && error.contains("queue=5ms"), "{error}");
    }
}
