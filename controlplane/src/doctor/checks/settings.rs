//! The settings themselves, and the certificate that they name.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::config::{Auth, Config, ConfigError, Tls};
use crate::doctor::finding::{Finding, Verdict};
use crate::tls::Certificate;

/// A certificate is renewed long before this is left of it, if anything renews it.
const CERTIFICATE_LEFT_MIN: Duration = Duration::from_secs(14 * 86_400);

/// The settings as a whole: one finding, or one for each fault.
pub fn settings(checked: &Result<Config, ConfigError>, unknown_variables: &[String]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = match checked {
        Ok(_) => vec![Finding::ok("settings", "all of them are good")],
        Err(ConfigError(faults)) => faults
            .iter()
            .map(|fault| {
                Finding::new(Verdict::Fail, "settings", &fault.what)
                    .wanted(&fault.wanted)
                    .remedy(fault.remedy())
            })
            .collect(),
    };
    findings.extend(unknown_variables.iter().map(|variable| unknown_variable(variable)));
    findings
}

/// A variable that looks like a setting and is none.
pub fn unknown_variable(variable: &str) -> Finding {
    let wanted = match crate::config::nearest(&variable.trim_start_matches("SLUICE_").to_ascii_lowercase()) {
        Some(setting) => format!("perhaps {}", setting.variable()),
        None => "a variable that `sluice config explain` lists".to_owned(),
    };
    Finding::new(Verdict::Warn, "settings", format!("{variable} is no setting, so it changes nothing"))
        .wanted(wanted)
        .remedy(format!("unset {variable}"))
}

/// Who may come in.
pub fn access(config: &Config) -> Finding {
    match config.auth {
        Auth::Token(_) => Finding::ok("access", "with the shared token"),
        _ if config.http_listen.ip().is_loopback() => Finding::ok("access", "from this machine only"),
        _ => Finding::new(Verdict::Warn, "access", "everyone who reaches this server may publish and watch")
            .wanted("a token")
            .remedy("SLUICE_AUTH=token:$(openssl rand -hex 16)"),
    }
}

/// Whether browsers of other machines open a camera.
pub fn https(config: &Config) -> Option<Finding> {
    let is_needed = config.tls == Tls::Off && !config.http_listen.ip().is_loopback();
    is_needed.then(|| {
        Finding::new(
            Verdict::Warn,
            "https",
            "off: browsers on other machines open neither camera nor microphone",
        )
        .wanted("HTTPS here, or a reverse proxy that has it")
        .remedy("SLUICE_TLS=self-signed, or SLUICE_TLS=files with SLUICE_TLS_CERTIFICATE and SLUICE_TLS_KEY")
    })
}

/// What came of reading the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFacts {
    /// It can be used.
    Read(Certificate),
    /// It is made at the first start.
    ToBeMade,
    /// It cannot be used: why, and what mends it.
    Wrong(String, String),
}

/// The certificate of HTTPS, at `now`, seconds since 1970.
pub fn certificate(facts: &CertificateFacts, now: i64) -> Finding {
    let certificate = match facts {
        CertificateFacts::ToBeMade => {
            return Finding::ok("certificate", "a self-signed one is made at the first start");
        }
        CertificateFacts::Wrong(why, remedy) => {
            return Finding::new(Verdict::Fail, "certificate", why)
                .wanted("a certificate and its key, as PEM")
                .remedy(remedy);
        }
        CertificateFacts::Read(certificate) => certificate,
    };
    let names = match certificate.names.as_slice() {
        [] => "no name".to_owned(),
        names => names.join(", "),
    };
    let days = (certificate.not_after - now).div_euclid(86_400);
    let renew = "renew it (certbot renew, acme.sh --renew); sluice takes the new one without a new start";
    let judge = |verdict, found: String| {
        Finding::new(verdict, "certificate", found)
            .wanted("a certificate that is good for 14 days or more")
            .remedy(renew)
    };
    if now < certificate.not_before {
        return judge(
            Verdict::Fail,
            format!("for {names}, not good yet; is the clock of this machine right?"),
        );
    }
    match days {
        ..0 => judge(Verdict::Fail, format!("for {names}, which ended {} days ago", -days)),
        0.. if certificate.not_after - now < CERTIFICATE_LEFT_MIN.as_secs() as i64 => {
            judge(Verdict::Warn, format!("for {names}, good for {days} more days"))
        }
        _ if days > 3650 => Finding::ok("certificate", format!("for {names}, good for more than ten years")),
        _ => Finding::ok("certificate", format!("for {names}, good for {days} more days")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Layers;
    use crate::doctor::checks::testing::check;
    use Verdict::{Fail, Ok, Warn};

    fn layers(pairs: &[(&str, &str)]) -> Layers {
        let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Layers::collect(None, environment).unwrap()
    }

    #[test]
    fn each_fault_of_the_settings_is_a_failure_and_an_unknown_variable_a_warning() {
        let layers = layers(&[("SLUICE_RTC_PORT", "70000"), ("SLUICE_TLS", "on"), ("SLUICE_SHARD", "2")]);
        let findings = settings(&layers.check(), &layers.unknown_variables);
        assert_eq!(findings.len(), 3, "{findings:?}");
        check(&findings[0], Fail, "SLUICE_RTC_PORT");
        check(&findings[1], Fail, "SLUICE_TLS");
        check(&findings[2], Warn, "unset SLUICE_SHARD");
        assert_eq!(findings[2].wanted.as_deref(), Some("perhaps SLUICE_SHARDS"));
        check(&settings(&self::layers(&[]).check(), &[])[0], Ok, "");
    }

    #[test]
    fn an_open_server_off_loopback_is_a_warning() {
        let config = |pairs: &[(&str, &str)]| layers(pairs).check().unwrap();
        let open = config(&[("SLUICE_HTTP_LISTEN", "0.0.0.0:80"), ("SLUICE_AUTH", "open")]);
        check(&access(&open), Warn, "openssl rand");
        check(&https(&open).unwrap(), Warn, "SLUICE_TLS=self-signed");
        let local = config(&[]);
        check(&access(&local), Ok, "");
        assert_eq!(https(&local), None);
        check(&access(&config(&[("SLUICE_AUTH", "token:0123456789abcdef")])), Ok, "");
    }

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning_and_one_that_has_ended_a_failure() {
        let day = 86_400;
        let read = |not_before, not_after| {
            let fingerprint = String::new();
            let names = vec!["example.org".to_owned()];
            CertificateFacts::Read(Certificate { fingerprint, names, not_before, not_after })
        };
        let now = 1_000 * day;
        check(&certificate(&read(0, now + 60 * day), now), Ok, "");
        check(&certificate(&read(0, now + 13 * day), now), Warn, "renew");
        check(&certificate(&read(0, now), now), Warn, "renew");
        check(&certificate(&read(0, now - 1), now), Fail, "renew");
        check(&certificate(&read(now + day, now + 60 * day), now), Fail, "renew");
        check(&certificate(&CertificateFacts::ToBeMade, now), Ok, "");
        check(
            &certificate(&CertificateFacts::Wrong("no key".to_owned(), "name a key".to_owned()), now),
            Fail,
            "name a key",
        );
    }
}
