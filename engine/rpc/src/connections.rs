//! How many connections there may be, and what one too many is told.
//!
//! The library counts the requests that are under way and the WebSockets. A connection that does nothing takes a file all the
//! same, so connections are counted here, from the moment in which they are accepted. Where callers have a rate, none of
//! them may have all places.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::{HeaderValue, StatusCode, header};
use jsonrpsee::server::{HttpRequest, HttpResponse};

use crate::answer::{PLAIN_TEXT, answer};
use crate::callers::account_of;
use crate::server::RpcConfig;

/// Of all places, the part that one address may have.
const PART_OF_ONE_ADDRESS: u32 = 4;

/// The places that there are.
pub(crate) struct Connections {
    most: u32,
    most_of_one: u32,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: u32,
    by_address: BTreeMap<IpAddr, u32>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are so many connections.
    All(u32),
    /// The address has so many.
    OfOne(u32),
}

/// A connection's place, until it is dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    pub(crate) fn new(config: &RpcConfig) -> Arc<Self> {
        let most = config.max_connections;
        let most_of_one = match config.rate_limit {
            Some(_) => most.div_ceil(PART_OF_ONE_ADDRESS),
            None => most,
        };
        Arc::new(Self {
            most,
            most_of_one,
            taken: Mutex::default(),
        })
    }

    /// A place for a connection from `address`.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let address = account_of(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.most {
            return Err(Full::All(self.most));
        }
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.most_of_one {
            return Err(Full::OfOne(self.most_of_one));
        }
        taken.all += 1;
        taken.by_address.insert(address, of_address + 1);
        Ok(Place {
            connections: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = self.connections.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let of_address = taken.by_address.get(&self.address).copied().unwrap_or(0);
        if of_address > 1 {
            taken.by_address.insert(self.address, of_address - 1);
        } else {
            taken.by_address.remove(&self.address);
        }
    }
}

/// Answers every request of a connection that has no place with the reason.
#[derive(Clone, Copy)]
pub(crate) struct Refusing(pub(crate) Full);

impl<B> tower::Service<HttpRequest<B>> for Refusing {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = Ready<Result<HttpResponse, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: HttpRequest<B>) -> Self::Future {
        let text = match self.0 {
            Full::All(limit) => format!(
                "Connections: this node has {limit}, which is its limit (rpc.max_connections); try again later, or another node\n"
            ),
            Full::OfOne(limit) => format!(
                "Connections: this address has {limit}, which is this node's limit for one; close one, or send more calls over each\n"
            ),
        };
        let mut refusal = answer(StatusCode::TOO_MANY_REQUESTS, PLAIN_TEXT, text);
        let close = HeaderValue::from_static("close");
        refusal.headers_mut().insert(header::CONNECTION, close);
        ready(Ok(refusal))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::callers::RateLimit;

    fn connections(most: u32, has_rate: bool) -> Arc<Connections> {
        let one = NonZeroU32::MIN;
        let rate = RateLimit {
            per_second: one,
            burst: one,
        };
        Connections::new(&RpcConfig {
            max_connections: most,
            rate_limit: has_rate.then_some(rate),
            ..RpcConfig::default()
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_comes_back_with_its_connection() {
        let connections = connections(2, false);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let first = connections.take(one).ok().unwrap();
        let _second = connections.take(one).ok().unwrap();
        assert_eq!(connections.take(other).err(), Some(Full::All(2)));
        drop(first);
        let _third = connections.take(other).ok().unwrap();
        assert_eq!(connections.take(one).err(), Some(Full::All(2)));
    }

    #[test]
    fn where_there_is_a_rate_an_address_has_a_quarter_of_the_places() {
        let connections = connections(8, true);
        let (one, other) = (address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        let first = connections.take(one).ok().unwrap();
        // The same network.
        let _second = connections.take(address("2001:db8:1:2::ffff")).ok().unwrap();
        assert_eq!(connections.take(one).err(), Some(Full::OfOne(2)));
        let _others: Vec<_> = (0..2).map(|_| connections.take(other).ok().unwrap()).collect();
        drop(first);
        assert!(connections.take(one).is_ok());
    }

    #[test]
    fn nobody_is_remembered_who_has_gone() {
        let connections = connections(100, true);
        for n in 0..1_000u32 {
            drop(connections.take(IpAddr::V4(n.into())));
        }
        let taken = connections.taken.lock().unwrap();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }
}
