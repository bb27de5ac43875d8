//! Facts in, findings out. A check reads no file and asks no kernel: [`super::probe`] has done that.
#![forbid(unsafe_code)]

pub mod address;
pub mod firewall;
pub mod network;
pub mod ports;
pub mod settings;
pub mod system;

#[cfg(test)]
pub(crate) mod testing {
    use crate::doctor::finding::{Finding, Verdict};

    /// Asserts verdict and, unless it is `Ok`, that what is wanted and what mends it are said.
    #[track_caller]
    pub(crate) fn check(finding: &Finding, verdict: Verdict, remedy: &str) {
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        match (&finding.remedy, verdict) {
            (_, Verdict::Ok) => assert_eq!((&finding.wanted, &finding.remedy), (&None, &None)),
            (Some(text), _) => {
                assert!(text.contains(remedy), "{finding:?}");
                assert!(finding.wanted.is_some(), "{finding:?}");
            }
            (None, _) => panic!("no remedy: {finding:?}"),
        }
    }
}
