//! Reads the packet filter of this machine, as far as text can be read: whether what comes in is dropped
//! unless a rule lets it in, and whether some rule names our ports. It is no model of a packet filter, and
//! what stands in front of this machine (a provider's security groups, a router) is not seen at all.
#![forbid(unsafe_code)]

use super::ports::range;
use crate::doctor::finding::{Finding, Verdict};

/// What could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// `nft list ruleset`.
    Nft(String),
    /// `iptables -S INPUT`.
    Iptables(String),
    /// Neither could be run; why.
    Unreadable(String),
}

const BEYOND: &str = "a firewall in front of this machine cannot be seen from here";

/// Whether datagrams to the UDP `ports` come in.
pub fn firewall(rules: &Rules, ports: &[u16]) -> Finding {
    let all = range(ports.iter().copied());
    let wanted = format!("UDP {all} let in");
    let (is_closed, text, remedy) = match rules {
        Rules::Unreadable(why) => {
            return Finding::new(Verdict::Unknown, "firewall", format!("{why}; {BEYOND}"))
                .wanted(wanted)
                .remedy("sudo sluice doctor, or sudo nft list ruleset");
        }
        Rules::Nft(text) => (
            has_closed_input(text),
            text,
            format!(
                "nft add rule inet filter input udp dport {all} accept (ufw: ufw allow {}/udp)",
                all.replace('-', ":")
            ),
        ),
        Rules::Iptables(text) => (
            text.lines().any(|line| {
                let is_last_word =
                    line.starts_with("-A INPUT -j DROP") || line.starts_with("-A INPUT -j REJECT");
                line.trim() == "-P INPUT DROP" || is_last_word
            }),
            text,
            format!("iptables -I INPUT -p udp --dport {} -j ACCEPT", all.replace('-', ":")),
        ),
    };
    if !is_closed {
        return Finding::ok("firewall", format!("this machine drops nothing by default; {BEYOND}"));
    }
    if ports.iter().all(|port| is_let_in(text, *port)) {
        return Finding::ok("firewall", format!("a rule of this machine lets UDP {all} in; {BEYOND}"));
    }
    Finding::new(
        Verdict::Warn,
        "firewall",
        format!("this machine drops what no rule lets in, and no rule names UDP {all}"),
    )
    .wanted(wanted)
    .remedy(remedy)
}

/// Whether a chain on the input hook drops by policy, or ends with a rule that drops everything.
fn has_closed_input(ruleset: &str) -> bool {
    let mut is_input = false;
    ruleset.lines().map(str::trim).any(|line| {
        if line.starts_with("chain ") {
            is_input = false;
        }
        if line.contains("hook input") {
            is_input = true;
            if line.contains("policy drop") {
                return true;
            }
        }
        is_input && (matches!(line, "drop" | "reject") || line.starts_with("reject with"))
    })
}

/// Whether some line accepts UDP to this port: alone, in a range or in a set.
fn is_let_in(text: &str, port: u16) -> bool {
    let lines =
        text.lines().filter(|line| line.contains("udp") && line.to_ascii_lowercase().contains("accept"));
    lines.filter_map(|line| line.split_once("dport").or_else(|| line.split_once("dports"))).any(
        |(_, rest)| {
            let end = rest.find(" accept").or_else(|| rest.find(" -j")).unwrap_or(rest.len());
            let words = rest[..end].split(|c: char| !(c.is_ascii_digit() || c == '-' || c == ':'));
            words.filter(|word| !word.is_empty()).any(|word| {
                let (first, last) = word.split_once(['-', ':']).unwrap_or((word, word));
                match (first.parse::<u16>(), last.parse::<u16>()) {
                    (Ok(first), Ok(last)) => (first..=last).contains(&port),
                    _ => false,
                }
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::testing::check;
    use Verdict::{Ok, Unknown, Warn};

    fn nft(policy: &str, rules: &str) -> Rules {
        Rules::Nft(format!(
            "table inet filter {{\n\tchain input {{\n\t\ttype filter hook input priority filter; policy {policy};\n\
             {rules}\n\t}}\n\tchain forward {{\n\t\ttype filter hook forward priority filter; policy drop;\n\t}}\n}}"
        ))
    }

    #[test]
    fn a_closed_filter_without_our_ports_is_a_warning() {
        let ports = [7000, 7001];
        check(&firewall(&nft("accept", ""), &ports), Ok, "");
        check(&firewall(&nft("drop", "\t\ttcp dport 22 accept"), &ports), Warn, "udp dport 7000-7001 accept");
        check(
            &firewall(
                &nft("accept", "\t\ttcp dport 22 accept\n\t\treject with icmpx admin-prohibited"),
                &ports,
            ),
            Warn,
            "ufw",
        );
        check(&firewall(&nft("drop", "\t\tudp dport 7000 accept"), &ports), Warn, "7000-7001");
        check(
            &firewall(&nft("drop", "\t\tudp dport 7000-7015 counter packets 3 bytes 9 accept"), &ports),
            Ok,
            "",
        );
        check(&firewall(&nft("drop", "\t\tudp dport { 5353, 7000, 7001 } accept"), &ports), Ok, "");
        check(&firewall(&Rules::Nft(String::new()), &ports), Ok, "");
    }

    #[test]
    fn iptables_is_read_as_well() {
        let rules = |text: &str| Rules::Iptables(text.to_owned());
        check(&firewall(&rules("-P INPUT ACCEPT"), &[7000]), Ok, "");
        check(&firewall(&rules("-P INPUT DROP"), &[7000, 7001]), Warn, "--dport 7000:7001");
        let open = "-P INPUT DROP\n-A INPUT -p udp -m udp --dport 7000:7003 -j ACCEPT";
        check(&firewall(&rules(open), &[7000, 7001]), Ok, "");
        let multiple = "-P INPUT DROP\n-A INPUT -p udp -m multiport --dports 53,7000 -j ACCEPT";
        check(&firewall(&rules(multiple), &[7000]), Ok, "");
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_every_verdict_admits_what_it_does_not_see() {
        let unreadable = firewall(&Rules::Unreadable("only root may read it".to_owned()), &[7000]);
        check(&unreadable, Unknown, "sudo");
        assert!(unreadable.found.contains(BEYOND));
        assert!(firewall(&nft("accept", ""), &[7000]).found.contains(BEYOND));
    }
}
