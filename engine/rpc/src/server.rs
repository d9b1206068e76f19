//! Starting and stopping the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::middleware::http::HostFilterLayer;
use jsonrpsee::server::{
    BatchRequestConfig, PingConfig, Server, ServerConfig, ServerHandle, StopHandle, serve,
    serve_with_graceful_shutdown, stop_channel,
};
use millrace_types::chain_spec::Limits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::callers::{Caller, CallerService, Callers, RateLimit};
use crate::connections::{Connections, Refusing};
use crate::http::{Pages, PagesLayer};
use crate::methods::Methods;
use crate::origin::OriginLayer;
use crate::pace::{Pace, Paced};
use crate::refusals::RefusalsLayer;
use crate::service::{ServiceLayer, refused};

/// What an operator may choose about the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcConfig {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections at once.
    pub max_connections: u32,
    /// Bytes of one request.
    pub max_request_bytes: u32,
    /// Bytes of one answer.
    pub max_response_bytes: u32,
    /// Calls in one batch.
    pub max_batch: u32,
    /// Subscriptions of one connection.
    pub max_subscriptions: u32,
    /// Notifications that a subscriber may be behind before it is cut off.
    pub subscription_buffer: usize,
    /// Messages that wait for a connection to take them: answers and notifications.
    pub message_buffer: u32,
    /// How long what was sent may wait for a peer that takes none of it, before its connection is closed.
    pub unread_timeout: Duration,
    /// How long a connection may be silent while nothing is done for it, before it is closed: half of what it may take at most.
    pub silent_timeout: Duration,
    /// Gas that a read-only call may use.
    pub call_gas_limit: u64,
    /// Read-only calls, estimates and searches for logs that run at once; more wait.
    pub max_concurrent_calls: u32,
    /// Blocks that one search for logs looks at.
    pub max_log_blocks: u64,
    /// Logs in one answer.
    pub max_logs: u64,
    /// How often a peer address may call; as often as it likes without.
    pub rate_limit: Option<RateLimit>,
    /// Calls of one connection that are under way at once.
    pub max_calls_per_connection: u32,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4860)),
            max_connections: 256,
            max_request_bytes: 8 << 20,
            max_response_bytes: 32 << 20,
            max_batch: 64,
            max_subscriptions: 16,
            subscription_buffer: 1024,
            message_buffer: 1024,
            unread_timeout: Duration::from_secs(60),
            // Above what clients keep idle connections for, and above twice what the library pings at.
            silent_timeout: Duration::from_secs(120),
            call_gas_limit: 500_000_000,
            max_concurrent_calls: 4,
            max_log_blocks: 10_000,
            max_logs: 10_000,
            rate_limit: None,
            max_calls_per_connection: 4_096,
        }
    }
}

/// Connections that are told at once that there is no place for them.
const REFUSALS_AT_ONCE: usize = 32;
/// How long each may take to hear it.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);

/// Around the hex of a transaction in a call.
const CALL_BYTES: u64 = 1 << 10;
/// Around the hex of a transaction in a block.
const TRANSACTION_VIEW_BYTES: u64 = 600;

impl RpcConfig {
    /// The same, with room for the longest transaction and the fullest block that the chain allows.
    #[must_use]
    pub fn fitting(self, limits: &Limits) -> Self {
        // A block in full has the encodings and the inputs in hex, and the other fields of each transaction. A log has at
        // most what a transaction has of logs.
        let block = u64::from(limits.block_bytes) * 4;
        let block = block + u64::from(limits.block_transactions) * TRANSACTION_VIEW_BYTES + CALL_BYTES;
        let block = block.max(u64::from(limits.log_bytes) * 2 + CALL_BYTES * 4);
        Self {
            max_request_bytes: self.max_request_bytes.max(Self::request_bytes_for(limits)),
            max_response_bytes: self
                .max_response_bytes
                .max(u32::try_from(block).unwrap_or(u32::MAX)),
            ..self
        }
    }

    /// Entries of a batch that are looked into at all. More are refused by the library, over a WebSocket in its own words.
    fn most_in_a_batch_of_the_library(&self) -> u32 {
        const LEAST: u32 = 1_024;
        self.max_batch.saturating_mul(4).max(LEAST)
    }

    /// What `max_request_bytes` must be at least, so that every transaction of the chain can be sent.
    #[must_use]
    pub fn request_bytes_for(limits: &Limits) -> u32 {
        let least = u64::from(limits.transaction_bytes) * 2 + CALL_BYTES;
        u32::try_from(least).unwrap_or(u32::MAX)
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not this machine's.
    #[error(
        "rpc: cannot listen on {address}: {source}; choose another address with `rpc.listen` or --rpc-listen"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A running server. Dropping it does not stop it; [`RpcServer::stop`] does.
#[derive(Debug)]
pub struct RpcServer {
    address: SocketAddr,
    handle: ServerHandle,
}

impl RpcServer {
    /// Starts serving on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub async fn start(config: &RpcConfig, methods: Methods, pages: Pages) -> Result<Self, StartError> {
        let listen = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        // A page in a browser must not reach a node on loopback by way of a host name that its owner controls.
        let only_local = config.listen.ip().is_loopback();
        let hosts = if only_local {
            HostFilterLayer::new(["localhost:*", "127.0.0.1:*", "[::1]:*"])
                .map_err(|error| listen(std::io::Error::other(error.to_string())))?
        } else {
            HostFilterLayer::disable()
        };
        let middleware = tower::ServiceBuilder::new()
            .layer(RefusalsLayer::new(config))
            .layer(hosts)
            .layer(OriginLayer { only_local })
            .layer(PagesLayer(Arc::new(pages)));
        let server_config = ServerConfig::builder()
            .max_connections(config.max_connections)
            .max_request_body_size(config.max_request_bytes)
            .max_response_body_size(config.max_response_bytes)
            .max_subscriptions_per_connection(config.max_subscriptions)
            .set_message_buffer_capacity(config.message_buffer)
            // A peer that does not answer is let go; of one that does not read, see `bind`.
            .enable_ws_ping(PingConfig::new())
            // The service bounds batches, in this surface's words; but what it gets is many times what was sent.
            .set_batch_request_config(BatchRequestConfig::Limit(config.most_in_a_batch_of_the_library()))
            .build();
        let listener = bind(config).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let services = Server::builder()
            .set_config(server_config)
            .set_http_middleware(middleware)
            .set_rpc_middleware(RpcServiceBuilder::new().layer(ServiceLayer::new(config)))
            .to_service_builder();
        let (stop, handle) = stop_channel();
        let (methods, callers) = (methods.into_module(), Arc::new(Callers::new(config.rate_limit)));
        let (connections, refusals) = (
            Connections::new(config),
            Arc::new(Semaphore::new(REFUSALS_AT_ONCE)),
        );
        let (config, mut number) = (config.clone(), 0);
        tokio::spawn(accept(listener, stop, move |peer, socket, stop| {
            number += 1;
            let place = match connections.take(peer.ip()) {
                Ok(place) => place,
                Err(full) => {
                    refused("connections");
                    // Whoever is one too many beside these is not even told.
                    if let Ok(turn) = Arc::clone(&refusals).try_acquire_owned() {
                        tokio::spawn(async move {
                            let told = serve(socket, Refusing(full));
                            let _ = tokio::time::timeout(REFUSAL_PATIENCE, told).await;
                            drop(turn);
                        });
                    }
                    return;
                }
            };
            let pace = Arc::new(Pace::new(config.max_response_bytes.into()));
            let caller = Caller::new(
                peer.ip(),
                number,
                Arc::clone(&callers),
                Arc::clone(&pace),
                &config,
            );
            let busy = caller.clone();
            let socket = Paced::new(socket, pace, config.silent_timeout, move || busy.is_busy(), place);
            let inner = services.clone().build(methods.clone(), stop.clone());
            let service = CallerService { caller, inner };
            tokio::spawn(async move {
                let served = serve_with_graceful_shutdown(socket, service, stop.shutdown()).await;
                if let Err(fault) = served {
                    tracing::debug!(%peer, %fault, "a connection failed");
                }
            });
        }));
        Ok(Self { address, handle })
    }

    /// Where it listens, the real port included.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking requests and waits for those under way, but no longer than `patience`: a peer that does not read
    /// keeps its answer under way for as long as it likes. What is left ends with the runtime.
    pub async fn stop(self, patience: Duration) {
        // An error means that it stopped already.
        let _ = self.handle.stop();
        if tokio::time::timeout(patience, self.handle.stopped())
            .await
            .is_err()
        {
            tracing::warn!("connections are left that take no answer; they end with the process");
        }
    }
}

/// Hands every connection to `serve` until the server is stopped.
async fn accept(
    listener: TcpListener,
    stop: StopHandle,
    mut serve: impl FnMut(SocketAddr, TcpStream, StopHandle),
) {
    /// When the system has no room for a connection, it hardly has any at once.
    const PAUSE: Duration = Duration::from_millis(50);
    let stopped = stop.clone().shutdown();
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => return,
            accepted = listener.accept() => accepted,
        };
        let ready = accepted.and_then(|(socket, peer)| {
            socket.set_nodelay(true)?;
            Ok((socket, peer))
        });
        match ready {
            Ok((socket, peer)) => serve(peer, socket, stop.clone()),
            Err(fault) => {
                tracing::debug!(%fault, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A listener whose connections have [`RpcConfig::unread_timeout`].
///
/// The library pings each WebSocket, but it waits for a message to be written before it looks at anything else, and a
/// peer may answer the kernel for ever that it has no room. So it is the kernel that must lose patience.
async fn bind(config: &RpcConfig) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(config.listen).await?;
    let timeout_ms = u32::try_from(config.unread_timeout.as_millis()).unwrap_or(u32::MAX);
    // Sockets inherit it from the one that accepts them.
    rustix::net::sockopt::set_tcp_user_timeout(&listener, timeout_ms)?;
    Ok(listener)
}
