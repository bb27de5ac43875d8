//! The command line. `run` and `find` have a subcommand for each scenario, made from what it declares, so
//! that its help names its parameters, their sizes and its figures.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};

use crate::find::objective::Objective;
use crate::impair::LinkRequest;
use crate::scenario::{Scenario, Size, Sizes, Value};
use crate::scenarios::ALL;
use crate::targets::{ALLOWED, Target, Wishes};

/// How much, how fast, at what cost: for Sluice and for any other SFU.
///
/// Targets are run in turns within one session on one machine, because a figure means little alone: compare
/// ratios. Close what else is running; docs/BENCHMARKING.md says how to prepare a machine and what loopback
/// hides. A round whose generator could not keep up says INVALID, one whose server could not says OVER, and
/// both say why.
#[derive(Parser)]
#[command(name = "bench", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Names each scenario with its question, and its parameters with their sizes
    List {
        /// Only this one, with all of its figures
        scenario: Option<String>,
    },
    /// Runs one scenario, prints a table and writes a JSON file
    Run(RunRequest),
    /// Searches the largest number at which a scenario holds an objective
    Find(FindRequest),
    /// Prints the ratios of two JSON files, with their spread
    Compare {
        /// The first file, such as one of bench/baselines
        a: PathBuf,
        /// The second one
        b: PathBuf,
    },
    /// Runs a server and any program behind a bad link to it: loss, delay, jitter, a rate with its queue
    Link(LinkRequest),
    /// Makes one HTML page of JSON files, and its plots as SVG files beside it
    Report {
        /// What `run` and `find` have written
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The page
        #[arg(long, value_name = "FILE", default_value = "bench-report.html")]
        out: PathBuf,
        /// Where the plots go as SVG files; by default a folder beside the page
        #[arg(long, value_name = "FOLDER")]
        svg: Option<PathBuf>,
    },
}

/// A scenario with the values that were chosen for it.
pub(crate) struct Chosen {
    pub(crate) scenario: &'static Scenario,
    pub(crate) values: BTreeMap<String, Vec<Value>>,
    pub(crate) targets: Vec<Target>,
    pub(crate) options: Options,
}

/// What `run` and `find` share.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Rounds of each target at each point; medians are shown [default: 3, at smoke size 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Play as little as shows that it works; the figures mean nothing
    #[arg(long)]
    smoke: bool,
    /// Threads that the generator receives on [default: half of the cores]
    #[arg(long, value_name = "THREADS", value_parser = clap::value_parser!(u16).range(1..=256))]
    generator_threads: Option<u16>,
    /// Where the JSON goes [default: bench-results/SCENARIO-TIME.json in the target folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `run SCENARIO ...`
pub(crate) struct RunRequest(pub(crate) Chosen, pub(crate) Wishes);

/// `find SCENARIO ...`
pub(crate) struct FindRequest {
    pub(crate) chosen: Chosen,
    pub(crate) wishes: Wishes,
    pub(crate) limits: FindOptions,
}

/// What only `find` has.
#[derive(Args, Clone, Debug)]
pub(crate) struct FindOptions {
    /// What has to hold, such as 'forward_p99<20ms,loss<0.1%'
    #[arg(long, value_name = "OBJECTIVE")]
    pub(crate) slo: Objective,
    /// The first number that is tried
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: u64,
    /// The largest number that may be tried
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) to: u64,
    /// The search ends when the gap is at most so many percent
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) resolution: u64,
}

/// What only scenarios with a server have.
#[derive(Args, Clone, Copy, Debug)]
struct ServerOptions {
    /// Take the servers that lie in the target folder as they are
    #[arg(long)]
    no_build: bool,
    /// Install what peers need of the distribution, by apt-get
    #[arg(long)]
    install_peers: bool,
}

impl Options {
    /// How much is played.
    pub(crate) fn size(&self) -> Size {
        if self.smoke { Size::Smoke } else { Size::Full }
    }

    /// How often.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.smoke { 1 } else { 3 })
    }

    /// Threads that the generator receives on. The other half of the cores is left to the server.
    pub(crate) fn generator_threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.generator_threads.map_or((cores / 2).max(1), usize::from)
    }
}

impl Chosen {
    fn read(scenario: &'static Scenario, matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut values = BTreeMap::new();
        for parameter in scenario.parameters {
            // `find` has no argument for what it searches over.
            if let Ok(Some(given)) = matches.try_get_many::<Value>(parameter.name) {
                values.insert(parameter.name.to_owned(), given.cloned().collect());
            }
        }
        let targets = match matches.try_get_many::<Target>("target") {
            Ok(Some(given)) => given.cloned().collect(),
            _ => Vec::new(),
        };
        Ok(Self { scenario, values, targets, options: Options::from_arg_matches(matches)? })
    }
}

impl RunRequest {
    fn read(scenario: &'static Scenario, matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(Chosen::read(scenario, matches)?, wishes(scenario, matches)?))
    }
}

impl FindRequest {
    fn read(scenario: &'static Scenario, matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            chosen: Chosen::read(scenario, matches)?,
            wishes: wishes(scenario, matches)?,
            limits: FindOptions::from_arg_matches(matches)?,
        })
    }
}

fn wishes(scenario: &Scenario, matches: &ArgMatches) -> Result<Wishes, clap::Error> {
    if !scenario.needs_server() {
        return Ok(Wishes::default());
    }
    let options = ServerOptions::from_arg_matches(matches)?;
    Ok(Wishes { is_build_wanted: !options.no_build, is_install_wanted: options.install_peers })
}

/// The subcommand of one scenario; `searched` is the parameter that is not asked for.
fn command_of(scenario: &'static Scenario, searched: Option<&str>) -> Command {
    let mut command = Command::new(scenario.name).about(scenario.question).after_help(figures_of(scenario));
    for parameter in scenario.parameters.iter().filter(|parameter| Some(parameter.name) != searched) {
        let sizes = &parameter.sizes;
        let show = |size| join(&sizes.values(size));
        let mut help =
            format!("{} [default: {}, at smoke size {}", parameter.help, show(Size::Full), show(Size::Smoke));
        if let Sizes::Words { allowed, .. } = sizes {
            help += &format!("; allowed: {}", allowed.join(", "));
        }
        command = command.arg(
            Arg::new(parameter.name)
                .long(parameter.name)
                .help(help + "]")
                .value_name("VALUES")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .value_parser(ValueParser::from(|text: &str| sizes.parse(text))),
        );
    }
    if scenario.needs_server() {
        let usual = if searched.is_some() { "sluice" } else { "sluice and str0m-tokio" };
        command = command.arg(
            Arg::new("target")
                .long("target")
                .help(format!("What to measure, repeatable [default: {usual}]: {ALLOWED}"))
                .value_name("TARGET")
                .action(ArgAction::Append)
                .value_parser(ValueParser::from(|text: &str| text.parse::<Target>())),
        );
        command = ServerOptions::augment_args(command);
    }
    Options::augment_args(command)
}

fn figures_of(scenario: &Scenario) -> String {
    let mut text = String::from("Figures:\n");
    for figure in scenario.figures() {
        text += &format!("  {:<20} {:<4} {}\n", figure.name, figure.unit, figure.meaning);
    }
    text
}

fn join(values: &[Value]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// What `list` prints.
pub(crate) fn list(only: Option<&str>) -> Result<String, crate::failure::Failure> {
    let mut text = String::new();
    for scenario in ALL.iter().filter(|scenario| only.is_none_or(|only| only == scenario.name)) {
        text += &format!("{:<10} {}\n", scenario.name, scenario.question);
        for parameter in scenario.parameters {
            let show = |size| join(&parameter.sizes.values(size));
            let sizes = format!("{} (smoke {})", show(Size::Full), show(Size::Smoke));
            text += &format!("           --{:<13} {sizes:<24} {}\n", parameter.name, parameter.help);
        }
        if only.is_some() {
            text += &figures_of(scenario);
        }
    }
    match (text.is_empty(), only) {
        (true, Some(name)) => Err(crate::failure::Failure::new(
            format!("there is no scenario {name:?}"),
            "`list` names them all",
        )),
        _ => Ok(text),
    }
}

/// Implements clap's traits for a request whose subcommands are scenarios.
macro_rules! scenario_subcommands {
    ($request:ty, $scenarios:expr, $command:expr) => {
        impl FromArgMatches for $request {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let chosen = matches.subcommand().and_then(|(name, matches)| {
                    Some((ALL.iter().find(|scenario| scenario.name == name)?, matches))
                });
                match chosen {
                    Some((scenario, matches)) => Self::read(scenario, matches),
                    None => Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)),
                }
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }

        impl Args for $request {
            fn augment_args(command: Command) -> Command {
                let scenarios = $scenarios.map($command);
                command.subcommands(scenarios).subcommand_required(true).arg_required_else_help(true)
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }
    };
}

scenario_subcommands!(RunRequest, ALL.iter(), |scenario| command_of(scenario, None));
scenario_subcommands!(FindRequest, ALL.iter().filter(|scenario| scenario.scale().is_some()), |scenario| {
    FindOptions::augment_args(command_of(scenario, scenario.scale()))
});

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Action, String> {
        let words = std::iter::once("bench").chain(line.split(' '));
        Arguments::try_parse_from(words).map(|arguments| arguments.action).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_scenario_takes_its_parameters_and_targets() {
        let line = "run fanout --subscribers 10,50 --target sluice --target janus --rounds 2 --no-build";
        let Ok(Action::Run(RunRequest(chosen, wishes))) = parse(line) else {
            panic!("{:?}", parse(line).err())
        };
        assert_eq!(chosen.values["subscribers"], [Value::Number(10), Value::Number(50)]);
        assert_eq!(chosen.targets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["sluice", "janus"]);
        assert_eq!((chosen.options.rounds(), chosen.options.size()), (2, Size::Full));
        assert!(!wishes.is_build_wanted);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        for (line, part) in [
            ("run fanout --subscribers 0", "from 1 to 20000"),
            ("run fanout --target kurento", "kurento"),
            ("run limit --link carrier-pigeon", "carrier-pigeon"),
            ("run nothing", "nothing"),
            ("run limit --target sluice", "--target"),
            ("find classify --slo a<1", "classify"),
            ("find fanout --slo loss", "none of <"),
            ("find fanout --slo loss<1% --subscribers 5", "--subscribers"),
        ] {
            let error = parse(line).err().unwrap_or_default();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn list_names_every_scenario_with_its_sizes() {
        let text = list(None).unwrap();
        assert!(ALL.iter().all(|scenario| text.contains(scenario.question)));
        assert!(text.contains("10,50,200,1000,2000 (smoke 2)"), "{text}");
        assert!(list(Some("fanout")).unwrap().contains("forward_p99"));
        assert!(list(Some("nothing")).is_err());
    }
}
