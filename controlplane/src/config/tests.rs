#![allow(clippy::unwrap_used)]
use super::*;
use dataplane::shard::backend::IoChoice;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (format!("SLUICE_{name}"), (*value).to_owned())).collect()
}

fn check(pairs: &[(&str, &str)]) -> Result<Config, String> {
    Layers::collect(None, environment(pairs)).unwrap().check().map_err(|error| error.to_string())
}

#[test]
fn every_default_parses_and_fits_the_others() {
    let config = check(&[]).unwrap();
    assert_eq!(config.http_listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.rtc_port, 7000);
    assert_eq!(config.rtc_listen.len(), 2);
    assert_eq!(config.auth, Auth::Unset);
}

#[test]
fn names_are_unique_and_every_row_has_help() {
    for (index, row) in SETTINGS.iter().enumerate() {
        assert!(SETTINGS[..index].iter().all(|other| other.name != row.name), "{}", row.name);
        assert!(!row.help.trim().is_empty() && !row.allowed.is_empty(), "{}", row.name);
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_name_its_value_and_what_is_allowed() {
    let wrong = [
        ("HTTP_LISTEN", "here"),
        ("RTC_LISTEN", "0.0.0.0,nowhere"),
        ("RTC_LISTEN", ""),
        ("RTC_PORT", "70000"),
        ("RTC_ANNOUNCED", "0.0.0.0"),
        ("SHARDS", "0"),
        ("SHARDS", "257"),
        ("IO_ZERO_COPY", "perhaps"),
        ("IO", "epoll"),
        ("DATA_DIR", ""),
        ("TLS", "on"),
        ("METRICS_LISTEN", "9090"),
        ("LOG_FORMAT", "xml"),
        ("CORS_ORIGINS", "example.org"),
        ("CORS_ORIGINS", "https://example.org/path"),
        ("SECOND_PUBLISHER", "both"),
        ("WHEP_WITHOUT_PUBLISHER", "maybe"),
        ("ROOM_LINGER_SECONDS", "-1"),
        ("SUBSCRIBERS_PER_ROOM_MAX", "0"),
        ("RATE_LIMIT_PER_SECOND", "1.5"),
        ("RATE_LIMIT_EXEMPT", "10.0.0.0/8"),
    ];
    for (variable, value) in wrong {
        let error = check(&[(variable, value)]).unwrap_err();
        let setting = SETTINGS.iter().find(|row| row.name == variable.to_ascii_lowercase()).unwrap();
        assert!(error.contains(&format!("{} = `{value}`", setting.name)), "{error}");
        assert!(error.contains(setting.allowed), "{error}");
    }
}

#[test]
fn all_wrong_values_are_reported_at_once() {
    let file = "rtc_port = 99999\nshardz = 3\nshards = 1.5\n";
    let mut layers = Layers::collect(None, environment(&[("TLS", "maybe"), ("IO", "epoll")])).unwrap();
    layers.add_file(Path::new("sluice.toml"), file).unwrap();
    let error = layers.check().unwrap_err();
    assert_eq!(error.0.len(), 5, "{error}");
}

#[test]
fn settings_that_do_not_fit_together_are_reported_beside_wrong_values() {
    let pairs = [("HTTP_LISTEN", "0.0.0.0:80"), ("RTC_PORT", "70000"), ("TLS", "files"), ("SHARDS", "0")];
    let error = check(&pairs).unwrap_err();
    for part in ["auth is not set", "rtc_port = `70000`", "tls_certificate and tls_key", "shards = `0`"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert_eq!(error.matches("\n  - ").count(), 4, "{error}");
}

#[test]
fn a_setting_that_is_wrong_contradicts_no_other() {
    let error = check(&[("HTTP_LISTEN", "0.0.0.0:80"), ("AUTH", "token:short")]).unwrap_err();
    assert_eq!(error.matches("\n  - ").count(), 1, "{error}");
}

#[test]
fn a_backend_is_named_and_an_unknown_one_refused() {
    for (name, choice) in [("auto", IoChoice::Auto), ("uring", IoChoice::Uring), ("mmsg", IoChoice::Mmsg)] {
        assert_eq!(check(&[("IO", name)]).unwrap().io, choice);
    }
    let error = check(&[("IO", "epoll")]).unwrap_err();
    assert!(error.contains("unknown backend") && error.contains("auto"), "{error}");
}

#[test]
fn zero_copy_without_io_uring_is_a_contradiction() {
    assert!(check(&[("IO_ZERO_COPY", "on")]).unwrap().io_zero_copy);
    let error = check(&[("IO_ZERO_COPY", "on"), ("IO", "mmsg")]).unwrap_err();
    assert!(error.contains("io_zero_copy") && error.contains("io = auto"), "{error}");
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let mut layers = Layers::collect(None, []).unwrap();
    layers
        .add_file(
            Path::new("a.toml"),
            "rtc_port = 8000\nrtc_listen = [\"127.0.0.1\"]\nshards = 2\nio_zero_copy = true",
        )
        .unwrap();
    layers.add_variable("SLUICE_RTC_PORT".to_owned(), "9000".to_owned());
    let config = layers.check().unwrap();
    assert_eq!((config.rtc_port, config.shards), (9000, Some(2)));
    assert_eq!(config.rtc_listen.len(), 1);
    assert!(config.io_zero_copy);
    let explained = layers.explain();
    assert!(explained.contains("rtc_port = 9000    [environment SLUICE_RTC_PORT]"), "{explained}");
    assert!(explained.contains("shards = 2    [file a.toml]"), "{explained}");
    assert!(explained.contains("io = auto    [default]"), "{explained}");
}

// docs/SECURITY.md H12
#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line_and_without_its_text() {
    let mut layers = Layers::collect(None, []).unwrap();
    let file = "shards = 2\nauth = \"token:correct-horse-battery\n";
    let error = layers.add_file(Path::new("sluice.toml"), file).unwrap_err().to_string();
    assert!(error.contains("sluice.toml: line 2: "), "{error}");
    assert!(!error.contains("battery"), "{error}");
}

#[test]
fn a_mistyped_setting_names_the_one_that_was_meant() {
    let name = |typed| nearest(typed).map(|setting| setting.name);
    assert_eq!(name("http_listn"), Some("http_listen"));
    assert_eq!(name("shardz"), Some("shards"));
    assert_eq!(name("announced_rtc_x"), None);
    assert_eq!(name("zzz"), None);
}

// docs/SECURITY.md H12
#[test]
fn a_secret_is_shown_neither_by_explain_nor_by_an_error_nor_by_debug() {
    let secret = "correct-horse-battery";
    let layers = Layers::collect(None, environment(&[("AUTH", &format!("token:{secret}"))])).unwrap();
    assert!(!layers.explain().contains(secret));
    assert!(layers.explain().contains("auth = (hidden)"));
    assert!(!format!("{:?}", layers.check().unwrap()).contains(secret));
    let error = check(&[("AUTH", "tokem:correct-horse-battery")]).unwrap_err();
    assert!(!error.contains(secret), "{error}");
}

#[test]
fn a_token_of_15_characters_is_refused_and_one_of_16_is_taken() {
    assert!(check(&[("AUTH", "token:123456789012345")]).is_err());
    let config = check(&[("AUTH", "token:1234567890123456")]).unwrap();
    assert_eq!(config.auth, Auth::Token(Secret::new("1234567890123456")));
}

#[test]
fn http_off_loopback_needs_a_word_on_authentication() {
    let error = check(&[("HTTP_LISTEN", "0.0.0.0:8080")]).unwrap_err();
    assert!(error.contains("SLUICE_AUTH=open"), "{error}");
    assert!(check(&[("HTTP_LISTEN", "0.0.0.0:8080"), ("AUTH", "open")]).is_ok());
    assert!(check(&[("HTTP_LISTEN", "[::]:8080"), ("AUTH", "token:1234567890123456")]).is_ok());
    assert!(check(&[("HTTP_LISTEN", "[::1]:8080")]).is_ok());
}

#[test]
fn certificates_and_the_tls_mode_belong_together() {
    assert!(check(&[("TLS", "files")]).is_err());
    assert!(check(&[("TLS", "files"), ("TLS_CERTIFICATE", "a.pem")]).is_err());
    assert!(check(&[("TLS", "files"), ("TLS_CERTIFICATE", "a.pem"), ("TLS_KEY", "b.pem")]).is_ok());
    assert!(check(&[("TLS_KEY", "b.pem")]).is_err());
}

#[test]
fn the_last_shard_needs_a_port_too() {
    assert!(check(&[("RTC_PORT", "65535"), ("SHARDS", "1")]).is_ok());
    assert!(check(&[("RTC_PORT", "65535"), ("SHARDS", "2")]).is_err());
}

#[test]
fn a_variable_that_is_no_setting_is_named() {
    let layers = Layers::collect(None, environment(&[("HTTP_LISTN", "x")])).unwrap();
    assert_eq!(layers.unknown_variables, ["SLUICE_HTTP_LISTN"]);
}
