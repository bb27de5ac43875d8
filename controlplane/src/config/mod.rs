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

pub use parse::{Auth, Origins, SecondPublisher, Secret, Tls, WithoutPublisher};
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
pub struct Fault(String);

impl Fault {
    fn new(setting: &Setting, text: &Text, why: String) -> Self {
        let value = if setting.is_secret { "(hidden)" } else { &text.value };
        let from = match &text.source {
            Source::Default => "default".to_owned(),
            Source::File(path) => path.display().to_string(),
            Source::Environment => setting.variable(),
        };
        Self(format!("{} = `{value}` ({from}): {why}; allowed: {}", setting.name, setting.allowed))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is wrong:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))
    }
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
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError(vec![Fault(format!("{}: {error}", path.display()))]))?;
            layers.add_file(path, &text)?;
        }
        for (variable, value) in environment {
            layers.add_variable(variable, value);
        }
        Ok(layers)
    }

    fn add_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let table: toml::Table =
            text.parse().map_err(|error| ConfigError(vec![Fault(format!("{}: {error}", path.display()))]))?;
        for (key, value) in table {
            let Some(index) = SETTINGS.iter().position(|setting| setting.name == key) else {
                self.faults.push(Fault(format!(
                    "{}: there is no setting `{key}`; `sluice config explain` lists them",
                    path.display()
                )));
                continue;
            };
            match plain(&value) {
                Some(value) => {
                    self.texts[index] = Text { value, source: Source::File(path.to_owned()) };
                }
                None => self.faults.push(Fault(format!(
                    "{}: {key} must be a string, a number or a list of strings",
                    path.display()
                ))),
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
        faults.extend(draft.contradictions().into_iter().map(Fault));
        match draft.complete() {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(ConfigError(faults)),
        }
    }

    /// One line for each setting: its name, its value and where that came from. Secrets are not shown.
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
            lines.push_str(&format!("{} = {value}    [{from}]\n", setting.name));
            lines.push_str(&format!("    {}\n", setting.help.trim()));
            lines.push_str(&format!("    allowed: {}; variable: {}\n", setting.allowed, setting.variable()));
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
    fn contradictions(&self) -> Vec<String> {
        let on_loopback =
            |address: &Option<SocketAddr>| address.is_none_or(|address| address.ip().is_loopback());
        let mut found = Vec::new();
        if let (Some(address), Some(Auth::Unset)) = (self.http_listen, &self.auth)
            && !address.ip().is_loopback()
        {
            found.push(format!(
                "http_listen = `{address}` is open to the network and auth is not set; set \
                 SLUICE_AUTH=token:<secret of 16 characters or more>, or SLUICE_AUTH=open to let everyone in",
            ));
        }
        if let Some(address) = self.metrics_listen
            && !on_loopback(&self.metrics_listen)
            && !on_loopback(&self.http_listen)
        {
            found.push(format!(
                "metrics_listen = `{address}` asks for no token; allowed: an address of loopback"
            ));
        }
        if let (Some(tls), Some(certificate), Some(key)) = (self.tls, &self.tls_certificate, &self.tls_key) {
            if tls == Tls::Files && (certificate.is_none() || key.is_none()) {
                found.push("tls = `files` needs both tls_certificate and tls_key".to_owned());
            }
            if tls != Tls::Files && (certificate.is_some() || key.is_some()) {
                found.push("tls_certificate and tls_key are read only with tls = `files`".to_owned());
            }
        }
        if let (Some(port), Some(shards)) = (self.rtc_port, self.shards) {
            let shards = shards.unwrap_or(1);
            if port != 0 && usize::from(port) + shards - 1 > usize::from(u16::MAX) {
                found.push(format!(
                    "rtc_port = `{port}` leaves no port for the last of {shards} shards; allowed: at most {}",
                    usize::from(u16::MAX) + 1 - shards
                ));
            }
        }
        if let (Some(IoChoice::Mmsg), Some(true)) = (self.io, self.io_zero_copy) {
            found.push("io_zero_copy = `on` needs io_uring; set io = auto or io = uring".to_owned());
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
