use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signer_protocol::{Refusal, RefusalCode, Request, Response, decode, encode, frame_bytes};

use crate::config::Config;
use crate::engine::Engine;

/// The open socket and its threads.
pub struct Server {
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
    socket: std::path::PathBuf,
}

struct Shared {
    engine: Mutex<Engine>,
    config: Config,
    uids: Vec<u32>,
    connections: AtomicUsize,
    stopping: AtomicBool,
}

impl Server {
    /// Opens the socket of `config` and answers on it in threads of its own.
    ///
    /// # Errors
    /// When the socket cannot be made, or another signer answers on it.
    pub fn start(engine: Engine, config: Config) -> io::Result<Self> {
        let socket = config.socket.clone();
        let listener = listen(&socket, config.socket_group_access)?;
        let own = rustix::process::geteuid().as_raw();
        let uids = config.allowed_uids.clone().unwrap_or_else(|| vec![own]);
        let shared = Arc::new(Shared {
            engine: Mutex::new(engine),
            config,
            uids,
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let accept = std::thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || accept(&listener, &for_thread))?;
        Ok(Self { shared, accept: Some(accept), socket })
    }

    /// Waits until [`Server::stop`] is called from elsewhere; in practice until the process ends.
    pub fn wait(mut self) {
        if let Some(thread) = self.accept.take() {
            let _ = thread.join();
        }
    }

    /// Accepts no more connections, answers no more requests, and removes the socket.
    pub fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.socket);
        if let Some(thread) = self.accept.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.accept.is_some() {
            self.stop();
        }
    }
}

fn listen(socket: &Path, group: bool) -> io::Result<UnixListener> {
    if UnixStream::connect(socket).is_ok() {
        return Err(io::Error::new(ErrorKind::AddrInUse, "another signer answers on the socket"));
    }
    if socket.try_exists()? {
        std::fs::remove_file(socket)?;
    }
    let listener = UnixListener::bind(socket)?;
    let mode = if group { 0o660 } else { 0o600 };
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of file descriptors: wait for a connection to close instead of spinning.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let busy = shared.connections.fetch_add(1, Ordering::SeqCst);
        let guard = Connection(Arc::clone(shared));
        if busy >= shared.config.connections_max {
            tracing::warn!("too many connections");
            continue;
        }
        let spawned = std::thread::Builder::new()
            .name("connection".to_owned())
            .spawn(move || guard.serve(stream));
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for a connection");
        }
    }
}

/// One connection; counted for as long as it lives.
struct Connection(Arc<Shared>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connection {
    fn serve(&self, mut stream: UnixStream) {
        if let Err(error) = self.check_peer(&stream).and_then(|()| self.answer_all(&mut stream)) {
            tracing::info!(%error, "connection closed");
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn check_peer(&self, stream: &UnixStream) -> io::Result<()> {
        let uid = rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw();
        if self.0.uids.contains(&uid) {
            return Ok(());
        }
        tracing::warn!(uid, "a process of a user that is not allowed");
        Err(ErrorKind::PermissionDenied.into())
    }

    fn answer_all(&self, stream: &mut UnixStream) -> io::Result<()> {
        let mut greeted = false;
        while let Some(body) = self.read_frame(stream)? {
            if self.0.stopping.load(Ordering::SeqCst) {
                return Ok(());
            }
            let body = match body {
                Ok(body) => body,
                Err(refusal) => return self.write(stream, &Response::Refused(refusal)),
            };
            let response = match decode::<Request>(&body) {
                Ok(request) => self.answer(&request, &mut greeted),
                Err(error) => bad_request(&error.to_string()),
            };
            self.write(stream, &response)?;
        }
        Ok(())
    }

    fn answer(&self, request: &Request, greeted: &mut bool) -> Response {
        let hello = matches!(request, Request::Hello(_));
        if !hello && !*greeted {
            return bad_request("say hello first");
        }
        let Ok(mut engine) = self.0.engine.lock() else {
            return Response::Refused(Refusal {
                code: RefusalCode::Unavailable,
                detail: "an earlier request failed inside; restart the signer".to_owned(),
            });
        };
        let response = engine.handle(request);
        *greeted |= matches!(response, Response::Hello(_));
        response
    }

    /// The next frame's body; `None` when the peer closed between frames, a refusal when the length is
    /// out of bounds.
    fn read_frame(&self, stream: &mut UnixStream) -> io::Result<Option<Result<Vec<u8>, Refusal>>> {
        let mut header = [0; 4];
        let idle = Instant::now() + self.0.config.idle_timeout();
        if !read_until(stream, &mut header[..1], idle)? {
            return Ok(None);
        }
        let deadline = Instant::now() + self.0.config.request_timeout();
        if !read_until(stream, &mut header[1..], deadline)? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let length = match frame_bytes(header) {
            Ok(length) => length,
            Err(error) => {
                let code = RefusalCode::BadRequest;
                return Ok(Some(Err(Refusal { code, detail: error.to_string() })));
            }
        };
        let mut body = vec![0; length];
        if read_until(stream, &mut body, deadline)? {
            Ok(Some(Ok(body)))
        } else {
            Err(ErrorKind::UnexpectedEof.into())
        }
    }

    fn write(&self, stream: &mut UnixStream, response: &Response) -> io::Result<()> {
        stream.set_write_timeout(Some(self.0.config.request_timeout()))?;
        let frame = encode(response)
            .or_else(|error| encode(&bad_request(&error.to_string())))
            .map_err(io::Error::other)?;
        stream.write_all(&frame)
    }
}

/// Fills `buffer` before `deadline`, however slowly the bytes drip; false when the peer closed first.
fn read_until(stream: &mut UnixStream, buffer: &mut [u8], deadline: Instant) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(false),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn bad_request(detail: &str) -> Response {
    Response::Refused(Refusal { code: RefusalCode::BadRequest, detail: detail.to_owned() })
}
