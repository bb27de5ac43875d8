//! Settings: defaults, overridden by a file, overridden by the environment.
//!
//! Knows nothing of what a setting is for. A wrong value is refused with its name, the value and what is
//! allowed, and all wrong values are reported together: nobody should have to start ten times.
#![forbid(unsafe_code)]

mod parse;
mod table;

use std::fmt;
use std::path::{Path, PathBuf};

pub use parse::{Auth, Io, Origins, Secret, SecondPublisher, Tls, WithoutPublisher};
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
        let mut layers =
            Self { texts: table::defaults(), faults: Vec::new(), unknown_variables: Vec::new() };
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
        let table: toml::Table = text
            .parse()
            .map_err(|error| ConfigError(vec![Fault(format!("{}: {error}", path.display()))]))?;
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
        match Config::parse(&self.texts) {
            Ok(config) => {
                faults.extend(config.contradictions().into_iter().map(Fault));
                if faults.is_empty() { Ok(config) } else { Err(ConfigError(faults)) }
            }
            Err(wrong) => {
                faults.extend(wrong);
                Err(ConfigError(faults))
            }
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
        Self::parse(&table::defaults()).expect("every default parses, which a test checks")
    }

    /// What no single setting can tell: settings that do not fit together.
    fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.http_listen.ip().is_loopback() && self.auth == Auth::Unset {
            found.push(format!(
                "http_listen = `{}` is open to the network and auth is not set; set \
                 SLUICE_AUTH=token:<secret of 16 characters or more>, or SLUICE_AUTH=open to let everyone in",
                self.http_listen
            ));
        }
        if !self.metrics_listen.ip().is_loopback() && !self.http_listen.ip().is_loopback() {
            found.push(format!(
                "metrics_listen = `{}` asks for no token; allowed: an address of loopback",
                self.metrics_listen
            ));
        }
        if self.tls == Tls::Files && (self.tls_certificate.is_none() || self.tls_key.is_none()) {
            found.push("tls = `files` needs both tls_certificate and tls_key".to_owned());
        }
        if self.tls != Tls::Files && (self.tls_certificate.is_some() || self.tls_key.is_some()) {
            found.push("tls_certificate and tls_key are read only with tls = `files`".to_owned());
        }
        let last_port = usize::from(self.rtc_port) + self.shards.unwrap_or(1) - 1;
        if self.rtc_port != 0 && last_port > usize::from(u16::MAX) {
            found.push(format!(
                "rtc_port = `{}` leaves no port for the last of {} shards; allowed: at most {}",
                self.rtc_port,
                self.shards.unwrap_or(1),
                usize::from(u16::MAX) + 1 - self.shards.unwrap_or(1)
            ));
        }
        found
    }
}

/// The text of a TOML value that a setting may have.
fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
