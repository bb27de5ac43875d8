//! What the machine offers: interfaces, their addresses, and whether their hardware cuts trains and computes
//! checksums. Read once at start and printed; nothing here is needed to run.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::udp::system::check;

// linux/ethtool.h
const ETHTOOL_GTXCSUM: u32 = 0x16;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETH_SS_FEATURES: u32 = 4;
const FEATURE_NAME_BYTES: usize = 32;
/// More features than any kernel has; bounds what is allocated for their names.
const FEATURES_MAX: u32 = 1024;

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it leads back to this machine.
    pub is_loopback: bool,
    /// Whether it is up and running.
    pub is_up: bool,
    /// Whether it cuts UDP trains itself (tx-udp-segmentation); `None` if it does not say.
    pub udp_segmentation: Option<bool>,
    /// Whether it computes checksums of what it sends; `None` if it does not say.
    pub tx_checksum: Option<bool>,
}

/// An address that can stand in a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableAddress {
    /// The address.
    pub address: IpAddr,
    /// Whether only this machine reaches it.
    pub is_loopback: bool,
}

/// Every interface, ordered by name.
pub fn interfaces() -> io::Result<Vec<InterfaceFacts>> {
    let mut found: BTreeMap<String, InterfaceFacts> = BTreeMap::new();
    for entry in interface_addresses()? {
        let facts = found.entry(entry.name.clone()).or_insert_with(|| InterfaceFacts {
            name: entry.name,
            addresses: Vec::new(),
            is_loopback: entry.flags & libc::IFF_LOOPBACK as u32 != 0,
            is_up: entry.flags & libc::IFF_UP as u32 != 0 && entry.flags & libc::IFF_RUNNING as u32 != 0,
            udp_segmentation: None,
            tx_checksum: None,
        });
        facts.addresses.extend(entry.address);
    }
    if let Ok(asker) = Asker::new() {
        for facts in found.values_mut() {
            facts.udp_segmentation = asker.feature(&facts.name, b"tx-udp-segmentation");
            facts.tx_checksum = asker.tx_checksum(&facts.name);
        }
    }
    Ok(found.into_values().collect())
}

/// Every address of an interface that is up, except link-local IPv6: a candidate cannot name its zone.
pub fn usable_addresses() -> io::Result<Vec<UsableAddress>> {
    let up = interfaces()?.into_iter().filter(|interface| interface.is_up);
    Ok(up
        .flat_map(|interface| {
            let is_loopback = interface.is_loopback;
            let usable = interface.addresses.into_iter().filter(|address| !is_link_local_v6(address));
            usable.map(move |address| UsableAddress { address, is_loopback })
        })
        .collect())
}

/// The release of the running kernel, such as `6.18.44`.
pub fn kernel_release() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned())
}

fn is_link_local_v6(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

struct Entry {
    name: String,
    flags: u32,
    address: Option<IpAddr>,
}

fn interface_addresses() -> io::Result<Vec<Entry>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    let mut entries = Vec::new();
    // SAFETY: getifaddrs gives a list whose nodes, names and addresses live until freeifaddrs, which is
    // called once, after the last use. An address is read as what its family says it is, from where
    // it may not be aligned.
    unsafe {
        check(libc::getifaddrs(&mut list))?;
        let mut next = list;
        while let Some(node) = next.as_ref() {
            entries.push(Entry {
                name: CStr::from_ptr(node.ifa_name).to_string_lossy().into_owned(),
                flags: node.ifa_flags,
                address: read_address(node.ifa_addr),
            });
            next = node.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    Ok(entries)
}

/// # Safety
///
/// `address` is null or points to a socket address as long as its family says.
unsafe fn read_address(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: by the caller's promise.
    unsafe {
        match i32::from((&raw const (*address).sa_family).read_unaligned()) {
            libc::AF_INET => {
                let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
                Some(IpAddr::V4(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes())))
            }
            libc::AF_INET6 => {
                let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
            }
            _ => None,
        }
    }
}

/// Asks the drivers (ioctl SIOCETHTOOL). What a driver does not answer is `None`.
struct Asker(OwnedFd);

impl Asker {
    fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is fresh, so it has one owner.
        let fd = unsafe {
            let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
            OwnedFd::from_raw_fd(check(libc::socket(libc::AF_INET, kind, 0))?)
        };
        Ok(Self(fd))
    }

    /// struct ethtool_value: command, value.
    fn tx_checksum(&self, interface: &str) -> Option<bool> {
        let mut value = [ETHTOOL_GTXCSUM, 0];
        self.ask(interface, &mut value)?;
        Some(value[1] != 0)
    }

    fn feature(&self, interface: &str, name: &[u8]) -> Option<bool> {
        let count = self.feature_count(interface)?;
        let index = self.feature_index(interface, count, name)?;
        // struct ethtool_gfeatures: command, blocks; for each block of 32 available, requested, active,
        // never changed.
        let blocks = count.div_ceil(32);
        let mut features = vec![0; 2 + 4 * blocks as usize];
        features[0] = ETHTOOL_GFEATURES;
        features[1] = blocks;
        self.ask(interface, &mut features)?;
        let active = features.get(2 + 4 * (index / 32) + 2)?;
        Some(active >> (index % 32) & 1 == 1)
    }

    /// struct ethtool_sset_info: command, reserved, mask (64 bits), then a count for each bit of the mask.
    fn feature_count(&self, interface: &str) -> Option<u32> {
        let mask = (1u64 << ETH_SS_FEATURES).to_ne_bytes();
        let half = |at: usize| u32::from_ne_bytes([mask[at], mask[at + 1], mask[at + 2], mask[at + 3]]);
        let mut info = [ETHTOOL_GSSET_INFO, 0, half(0), half(4), 0];
        self.ask(interface, &mut info)?;
        (1..=FEATURES_MAX).contains(&info[4]).then_some(info[4])
    }

    /// struct ethtool_gstrings: command, set, count, then 32 bytes for each name.
    fn feature_index(&self, interface: &str, count: u32, name: &[u8]) -> Option<usize> {
        let words_per_name = FEATURE_NAME_BYTES / size_of::<u32>();
        let mut strings = vec![0; 3 + count as usize * words_per_name];
        strings[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count]);
        self.ask(interface, &mut strings)?;
        strings[3..].chunks(words_per_name).position(|words| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            bytes.split(|&byte| byte == 0).next() == Some(name)
        })
    }

    /// Sends one request, which the kernel answers in place. Every request carries in its fields how long
    /// it is; the callers above keep those fields and the slice in step.
    fn ask(&self, interface: &str, request: &mut [u32]) -> Option<()> {
        // SAFETY: ifreq is integers, bytes and pointers, for which zero is a value.
        let mut message: libc::ifreq = unsafe { std::mem::zeroed() };
        if interface.len() >= message.ifr_name.len() {
            return None;
        }
        for (to, from) in message.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = from as libc::c_char;
        }
        message.ifr_ifru.ifru_data = request.as_mut_ptr().cast();
        // SAFETY: the name ends in zero; the request is live and as long as its fields say, and the
        // kernel writes no further than they say.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCETHTOOL as _, &mut message) }).ok()?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_loopback_interface_is_found_and_flagged() {
        let usable = usable_addresses().unwrap();
        let loopback = usable.iter().find(|usable| usable.address == IpAddr::from([127, 0, 0, 1])).unwrap();
        assert!(loopback.is_loopback);
        assert!(usable.iter().all(|usable| usable.is_loopback == usable.address.is_loopback()));
        assert!(!usable.iter().any(|usable| is_link_local_v6(&usable.address)));
    }

    #[test]
    fn an_unknown_interface_answers_nothing() {
        let asker = Asker::new().unwrap();
        assert_eq!(asker.tx_checksum("no-such-if"), None);
        assert_eq!(asker.feature("no-such-if", b"tx-udp-segmentation"), None);
        assert_eq!(asker.feature("a-name-that-is-longer-than-any", b"x"), None);
    }

    #[test]
    fn an_unknown_feature_of_a_known_interface_is_unknown() {
        assert_eq!(Asker::new().unwrap().feature("lo", b"no-such-feature"), None);
    }

    #[test]
    fn the_kernel_has_a_release() {
        assert!(kernel_release().unwrap().contains('.'));
    }
}
