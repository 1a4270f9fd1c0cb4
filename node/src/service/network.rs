//! Where callers come from, as what they take is counted.

use std::net::{IpAddr, Ipv6Addr};

/// The part of the network that counts as one caller: an IPv4 address, or the /64 of an IPv6 address,
/// of which whoever has one address has as many as it likes (RFC 4291 2.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network(IpAddr);

impl Network {
    /// That of an address. An IPv4 address that came over IPv6 is one of IPv4.
    pub(super) fn of(address: IpAddr) -> Self {
        /// Of the 128 bits of an address the first 64.
        const PREFIX: u128 = u128::MAX << 64;
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                Self(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & PREFIX)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_every_address_of_ipv4_for_itself() {
        let one = of("2001:db8:1:2::1");
        assert_eq!(one, of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(one, of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
    }
}
