//! How many connections each client address has open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The addresses of all open connections of a listener, over its event loops. It holds no more of them than there are
/// connections, and is looked at when one opens or closes.
#[derive(Debug)]
pub(crate) struct Addresses {
    connections_max: usize,
    open: Mutex<HashMap<Origin, usize>>,
}

/// What one client has to itself: an IPv4 address, or the first half of an IPv6 address, of which a client picks the
/// other half at will (RFC 4291, section 2.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Addresses {
    /// With so many connections for each address; 0 is without limit.
    pub(crate) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self {
            connections_max,
            open: Mutex::default(),
        })
    }

    /// Takes note of a connection from `address`, until what this returns is dropped; `None` if it has too many.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        if self.connections_max == 0 {
            return Some(Admitted(None));
        }
        let origin = Origin::from(address);
        let mut open = self.open();
        let connections = open.entry(origin).or_insert(0);
        if *connections >= self.connections_max {
            return None;
        }
        *connections += 1;
        Some(Admitted(Some((self.clone(), origin))))
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Origin, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts.
#[derive(Debug)]
pub(crate) struct Admitted(Option<(Arc<Addresses>, Origin)>);

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some((addresses, origin)) = self.0.take() else {
            return;
        };
        let mut open = addresses.open();
        if let Some(connections) = open.get_mut(&origin) {
            *connections -= 1;
            if *connections == 0 {
                open.remove(&origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_and_gets_them_back() {
        let addresses = Addresses::new(2);
        let first = addresses.admit(ip("192.0.2.1")).unwrap();
        let second = addresses.admit(ip("192.0.2.1")).unwrap();
        assert!(addresses.admit(ip("192.0.2.1")).is_none());
        assert!(addresses.admit(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(addresses.admit(ip("192.0.2.1")).is_some());
        drop(second);
        assert!(
            addresses.open().is_empty(),
            "nothing is kept of who is gone"
        );
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let addresses = Addresses::new(1);
        let _one = addresses.admit(ip("2001:db8:0:1::1")).unwrap();
        assert!(addresses.admit(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(addresses.admit(ip("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn an_ipv4_address_is_the_same_on_a_socket_of_both_families() {
        let addresses = Addresses::new(1);
        let _one = addresses.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert!(addresses.admit(ip("192.0.2.1")).is_none());
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let addresses = Addresses::new(0);
        let _many: Vec<_> = (0..100)
            .map(|_| addresses.admit(ip("192.0.2.1")).unwrap())
            .collect();
        assert!(addresses.open().is_empty());
    }
}
