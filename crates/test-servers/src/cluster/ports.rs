//! The ports of a cluster: chosen once, so that everybody can be told of everybody before anybody runs, and so that a process
//! comes up where it was.
//!
//! They lie below those that the operating system picks for connections, which would be another's while a process is down.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Node;

/// The first that is considered.
const FIRST: u32 = 10_000;
/// How many; Linux picks from 32,768 on.
const COUNT: u32 = 22_000;
/// How far apart two clusters begin to look: further than a cluster needs.
const STRIDE: u32 = 67;

pub(super) struct Ports {
    of: BTreeMap<(Node, Listener), u16>,
    next: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Listener {
    Public,
    Internal,
}

impl Ports {
    /// Finds ports for all of these.
    pub(super) fn choose(nodes: &[Node]) -> Result<Self, String> {
        static CLUSTERS: AtomicU32 = AtomicU32::new(0);
        // Test processes that run at the same time have numbers that lie close together.
        let cluster = std::process::id().wrapping_add(CLUSTERS.fetch_add(1, Ordering::Relaxed).wrapping_mul(101));
        let mut ports = Self {
            of: BTreeMap::new(),
            next: cluster.wrapping_mul(STRIDE) % COUNT,
        };
        for node in nodes {
            ports.add(*node)?;
        }
        Ok(ports)
    }

    /// Finds ports for one more.
    pub(super) fn add(&mut self, node: Node) -> Result<(), String> {
        for listener in [Listener::Public, Listener::Internal] {
            let port = self.free()?;
            self.of.insert((node, listener), port);
        }
        Ok(())
    }

    fn free(&mut self) -> Result<u16, String> {
        for _ in 0..COUNT {
            let port = u16::try_from(FIRST + self.next).map_err(|error| error.to_string())?;
            self.next = (self.next + 1) % COUNT;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
        Err("no port is free".to_owned())
    }

    /// Where users find a process, if they may.
    pub(super) fn public(&self, node: Node) -> SocketAddr {
        self.at(node, Listener::Public)
    }

    /// Where everybody else does.
    pub(super) fn internal(&self, node: Node) -> SocketAddr {
        self.at(node, Listener::Internal)
    }

    fn at(&self, node: Node, listener: Listener) -> SocketAddr {
        let port = self.of.get(&(node, listener));
        let port = port.unwrap_or_else(|| panic!("{node} is no process of this cluster"));
        SocketAddr::from((Ipv4Addr::LOCALHOST, *port))
    }
}
