//! Settings: defaults, overridden by a file, overridden by the environment.
//!
//! Knows nothing of what a setting is for. A wrong value is refused with its name, the value and what is
//! allowed, and all wrong values are reported together: nobody should have to start ten times.
#![forbid(unsafe_code)]

mod parse;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dataplane::shard::backend::IoChoice;

pub use parse::{Auth, LogFormat, Origins, SecondPublisher, Secret, Tls, WithoutPublisher};
use table::Draft;
pub use table::{Config, SETTINGS, Setting};

/// Where the text of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// This file.
    File(PathBuf),
    /// The environment variable of the setting.
    Environment,
}

/// What was said about one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    value: String,
    source: Source,
}

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting, its value, where that came from, and why it is wrong.
    pub what: String,
    /// What is allowed, or what would do.
    pub wanted: String,
    /// Where it is to be mended.
    place: String,
}

impl Fault {
    fn of_setting(setting: &Setting, text: &Text, why: &str) -> Self {
        let value = if setting.is_secret { "(hidden)" } else { &text.value };
        let (from, place) = match &text.source {
            Source::Default => ("default".to_owned(), format!("set {}", setting.variable())),
            Source::File(path) => (path.display().to_string(), format!("edit {}", path.display())),
            Source::Environment => (setting.variable(), format!("set {}", setting.variable())),
        };
        let what = format!("{} = `{value}` ({from}): {why}", setting.name);
        Self { what, wanted: setting.allowed.to_owned(), place }
    }

    fn of_file(path: &Path, why: impl fmt::Display, wanted: impl Into<String>) -> Self {
        let file = path.display();
        Self { what: format!("{file}: {why}"), wanted: wanted.into(), place: format!("edit {file}") }
    }

    /// Where to mend it.
    pub fn remedy(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    wanted: {}", self.what, self.wanted)
    }
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "a setting is wrong:")?,
            count => write!(f, "{count} settings are wrong:")?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
}

/// The setting whose name is most like `name`, if any is.
pub fn nearest(name: &str) -> Option<&'static Setting> {
    /// Below this, names have little more in common than a few letters.
    const LIKENESS_MIN: f64 = 0.87;
    let likeness = |setting: &Setting| strsim::jaro_winkler(setting.name, name);
    let nearest = SETTINGS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(nearest) >= LIKENESS_MIN).then_some(nearest)
}

/// Every setting with its text and origin, before it is checked.
#[derive(Clone, Debug)]
pub struct Layers {
    texts: Vec<Text>,
    faults: Vec<Fault>,
    /// Variables that look like settings and are none.
    pub unknown_variables: Vec<String>,
}

impl Layers {
    /// Collects from the file, if one is named, and from `environment`.
    ///
    /// # Errors
    ///
    /// Only if the file cannot be read or is not TOML; what is wrong inside is reported by
    /// [`Layers::check`], together with the rest.
    pub fn collect(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layers = Self { texts: table::defaults(), faults: Vec::new(), unknown_variables: Vec::new() };
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                ConfigError(vec![Fault::of_file(path, error, "a file of settings (TOML) that can be read")])
            })?;
            layers.add_file(path, &text)?;
        }
        for (variable, value) in environment {
            layers.add_variable(variable, value);
        }
        Ok(layers)
    }

    fn add_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        // The message without the text around it: that may be the token.
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let why = format!("line {}: {}", before.matches('\n').count() + 1, error.message());
            ConfigError(vec![Fault::of_file(path, why, "TOML, such as `rtc_port = 7000`")])
        })?;
        for (key, value) in table {
            let Some(index) = SETTINGS.iter().position(|setting| setting.name == key) else {
                let wanted = match nearest(&key) {
                    Some(setting) => format!("perhaps `{}`", setting.name),
                    None => "a setting that `sluice config explain` lists".to_owned(),
                };
                self.faults.push(Fault::of_file(path, format!("there is no setting `{key}`"), wanted));
                continue;
            };
            match plain(&value) {
                Some(value) => {
                    self.texts[index] = Text { value, source: Source::File(path.to_owned()) };
                }
                None => self.faults.push(Fault::of_file(
                    path,
                    format!("{key} has a value of another kind"),
                    "a string, a whole number or a list of strings",
                )),
            }
        }
        Ok(())
    }

    fn add_variable(&mut self, variable: String, value: String) {
        if !variable.starts_with("SLUICE_") {
            return;
        }
        match SETTINGS.iter().position(|setting| setting.variable() == variable) {
            Some(index) => self.texts[index] = Text { value, source: Source::Environment },
            None => self.unknown_variables.push(variable),
        }
    }

    /// Parses everything and checks how settings fit together.
    ///
    /// # Errors
    ///
    /// With every fault there is.
    pub fn check(&self) -> Result<Config, ConfigError> {
        let mut faults = self.faults.clone();
        let (draft, wrong) = Draft::parse(&self.texts);
        faults.extend(wrong);
        faults.extend(draft.contradictions());
        match draft.complete() {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(ConfigError(faults)),
        }
    }

    /// Each setting with its value, where that came from, what it does and what is allowed. Secrets are not
    /// shown.
    pub fn explain(&self) -> String {
        let mut lines = String::new();
        for (setting, text) in SETTINGS.iter().zip(&self.texts) {
            let value = match (setting.is_secret, text.value.as_str()) {
                (_, "") => "(not set)",
                (true, value) => value.split_once(':').map_or(value, |_| "(hidden)"),
                (false, value) => value,
            };
            let from = match &text.source {
                Source::Default => "default".to_owned(),
                Source::File(path) => format!("file {}", path.display()),
                Source::Environment => format!("environment {}", setting.variable()),
            };
            let is_first = lines.is_empty();
            lines.push_str(if is_first { "" } else { "\n" });
            lines.push_str(&format!("{} = {value}    [{from}]\n", setting.name));
            lines.push_str(&format!("    {}\n", setting.help.trim()));
            lines.push_str(&format!("    allowed   {}\n", setting.allowed));
            lines.push_str(&format!("    variable  {}\n", setting.variable()));
        }
        lines
    }
}

impl Config {
    /// The settings of a process that nobody configured.
    pub fn defaults() -> Self {
        let (draft, _) = Draft::parse(&table::defaults());
        draft.complete().expect("every default parses, which a test checks")
    }
}

impl Draft {
    /// What no single setting can tell: settings that do not fit together. A setting that could not be
    /// parsed contradicts nothing.
    fn contradictions(&self) -> Vec<Fault> {
        let on_loopback =
            |address: &Option<SocketAddr>| address.is_none_or(|address| address.ip().is_loopback());
        let mut found = Vec::new();
        let mut add = |what: String, wanted: String, variable: &str| {
            found.push(Fault { what, wanted, place: format!("set {variable}") });
        };
        if let (Some(address), Some(Auth::Unset)) = (self.http_listen, &self.auth)
            && !address.ip().is_loopback()
        {
            add(
                format!("http_listen = `{address}` is open to the network and auth is not set"),
                "SLUICE_AUTH=token:<secret of 16 characters or more>, or SLUICE_AUTH=open to let everyone in"
                    .to_owned(),
                "SLUICE_AUTH",
            );
        }
        if let Some(address) = self.metrics_listen
            && !on_loopback(&self.metrics_listen)
            && !on_loopback(&self.http_listen)
        {
            add(
                format!("metrics_listen = `{address}` asks for no token"),
                "an address of loopback".to_owned(),
                "SLUICE_METRICS_LISTEN",
            );
        }
        if let (Some(tls), Some(certificate), Some(key)) = (self.tls, &self.tls_certificate, &self.tls_key) {
            if tls == Tls::Files && (certificate.is_none() || key.is_none()) {
                let what = "tls = `files` needs both tls_certificate and tls_key".to_owned();
                add(what, "two files, PEM".to_owned(), "SLUICE_TLS_CERTIFICATE and SLUICE_TLS_KEY");
            }
            if tls != Tls::Files && (certificate.is_some() || key.is_some()) {
                let what = "tls_certificate and tls_key are read only with tls = `files`".to_owned();
                add(what, "tls = `files`, or neither of them".to_owned(), "SLUICE_TLS=files");
            }
        }
        if let (Some(port), Some(shards)) = (self.rtc_port, self.shards) {
            let shards = shards.unwrap_or(1);
            if port != 0 && usize::from(port) + shards - 1 > usize::from(u16::MAX) {
                let most = usize::from(u16::MAX) + 1 - shards;
                let what = format!("rtc_port = `{port}` leaves no port for the last of {shards} shards");
                add(what, format!("at most {most}"), "SLUICE_RTC_PORT");
            }
        }
        if let (Some(IoChoice::Mmsg), Some(true)) = (self.io, self.io_zero_copy) {
            let what = "io_zero_copy = `on` needs io_uring, and io is `mmsg`".to_owned();
            add(what, "io = auto or io = uring".to_owned(), "SLUICE_IO");
        }
        found
    }
}

/// The text of a TOML value that a setting may have.
fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(is_on) => Some(if *is_on { "on" } else { "off" }.to_owned()),
        toml::Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
