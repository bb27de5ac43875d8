//! Serves HTTP/1.1 with the time and connection limits that axum alone does not have. docs/SECURITY.md H5.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};

use crate::limits::{
    ANSWER_STALL_MAX, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, HEAD_BYTES_MAX, HEADER_TIMEOUT,
    TLS_HANDSHAKE_TIMEOUT,
};
use crate::service::rate_key;

/// A listener that serves.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// Stops it.
    pub handle: Handle<SocketAddr>,
    /// Ends when the last connection has.
    pub task: JoinHandle<io::Result<()>>,
}

/// Binds `address` and serves `router` there, encrypted if `tls` is given.
///
/// # Errors
///
/// If the address cannot be bound.
pub fn serve(address: SocketAddr, router: Router, tls: Option<RustlsConfig>) -> io::Result<Serving> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let handle = Handle::new();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let counted = CountedAcceptor::default();
    let server = axum_server::from_tcp(listener)?.handle(handle.clone());
    let task = match tls {
        None => {
            let mut server = server.acceptor(counted);
            set_limits(server.http_builder());
            tokio::spawn(server.http1_only().serve(service))
        }
        Some(tls) => {
            let acceptor =
                RustlsAcceptor::new(tls).handshake_timeout(TLS_HANDSHAKE_TIMEOUT).acceptor(counted);
            let mut server = server.acceptor(acceptor);
            set_limits(server.http_builder());
            tokio::spawn(server.http1_only().serve(service))
        }
    };
    Ok(Serving { address, handle, task })
}

fn set_limits(builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
}

/// Refuses connections above [`CONNECTIONS_PER_ADDRESS_MAX`] and [`CONNECTIONS_MAX`].
#[derive(Clone, Debug, Default)]
struct CountedAcceptor {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl CountedAcceptor {
    fn enter(&self, peer: IpAddr) -> Option<Ticket> {
        let address = rate_key(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = open.values().sum();
        let count = open.entry(address).or_default();
        let is_full = !address.is_loopback() && *count >= CONNECTIONS_PER_ADDRESS_MAX;
        if is_full || total >= CONNECTIONS_MAX {
            if *count == 0 {
                open.remove(&address);
            }
            return None;
        }
        *count += 1;
        Some(Ticket { address, open: Arc::clone(&self.open) })
    }
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
struct Ticket {
    address: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for CountedAcceptor {
    type Stream = CountedStream;
    type Service = S;
    type Future = std::future::Ready<io::Result<(CountedStream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = stream.peer_addr().and_then(|peer| {
            stream.set_nodelay(true)?;
            let ticket = self.enter(peer.ip());
            let ticket = ticket.ok_or_else(|| io::Error::other("too many connections"))?;
            let stall = Stall { allowed: ANSWER_STALL_MAX, end: None };
            Ok((CountedStream { stream, stall, _ticket: ticket }, service))
        });
        std::future::ready(accepted)
    }
}

/// Ends a connection whose client takes nothing of its answer for too long.
#[derive(Debug)]
struct Stall {
    allowed: Duration,
    end: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// Passes on what a write came to; one that has been waiting for too long fails.
    fn limit<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.end = None;
            return written;
        }
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(self.allowed)));
        end.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A connection with its place.
#[derive(Debug)]
struct CountedStream {
    stream: TcpStream,
    stall: Stall,
    _ticket: Ticket,
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.stall.limit(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.stall.limit(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::AsyncWriteExt;

    // docs/SECURITY.md H5
    #[test]
    fn an_address_has_64_connections_and_a_65th_only_after_one_has_ended() {
        let acceptor = CountedAcceptor::default();
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let mut tickets: Vec<_> = (0..64).map(|_| acceptor.enter(peer).unwrap()).collect();
        assert!(acceptor.enter(peer).is_none());
        assert!(acceptor.enter("192.0.2.2".parse().unwrap()).is_some());
        tickets.pop();
        assert!(acceptor.enter(peer).is_some());
    }

    // docs/SECURITY.md H5
    #[tokio::test]
    async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let ticket = CountedAcceptor::default().enter("192.0.2.1".parse().unwrap()).unwrap();
        let stall = Stall { allowed: Duration::from_millis(50), end: None };
        let mut stream = CountedStream { stream, stall, _ticket: ticket };
        let answer = vec![0; 64 * 1024];
        let error = loop {
            if let Err(error) = stream.write_all(&answer).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[test]
    fn a_connection_that_ended_leaves_nothing_behind() {
        let acceptor = CountedAcceptor::default();
        drop(acceptor.enter("192.0.2.1".parse().unwrap()).unwrap());
        assert!(acceptor.open.lock().unwrap().is_empty());
    }
}
