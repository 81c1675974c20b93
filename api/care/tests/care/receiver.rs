//! An HTTP receiver on a real socket, as a gateway.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use api_webhooks::Secret;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A message as the gateway got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) id: String,
    timestamp: String,
    signature: String,
    bytes: Vec<u8>,
    pub(crate) body: Value,
}

impl Got {
    /// True when the specification's own library takes it for `secret`.
    pub(crate) fn verifies(&self, secret: &Secret) -> bool {
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", self.id.parse().unwrap());
        headers.insert("webhook-timestamp", self.timestamp.parse().unwrap());
        headers.insert("webhook-signature", self.signature.parse().unwrap());
        Webhook::new(&secret.reveal()).unwrap().verify(&self.bytes, &headers).is_ok()
    }
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    status: Arc<AtomicU16>,
    messages: Arc<Mutex<Vec<Got>>>,
}

/// An answer that never comes.
pub(crate) const SILENCE: u16 = 0;

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(200));
        let messages = Arc::new(Mutex::new(Vec::new()));
        let (answer, inbox) = (Arc::clone(&status), Arc::clone(&messages));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, inbox) = (Arc::clone(&answer), Arc::clone(&inbox));
                tokio::spawn(async move { receive(stream, &answer, &inbox).await });
            }
        });
        Self { address, status, messages }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn take(&self) -> Vec<Got> {
        std::mem::take(&mut *self.messages.lock().unwrap())
    }
}

async fn receive(mut stream: TcpStream, status: &AtomicU16, inbox: &Mutex<Vec<Got>>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let (head, start) = loop {
        let read = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            break (head.to_owned(), head.len() + 4);
        }
    };
    let length: usize = header(&head, "content-length").parse().unwrap();
    while bytes.len() < start + length {
        let read = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..read]);
    }
    let bytes = bytes[start..].to_vec();
    inbox.lock().unwrap().push(Got {
        id: header(&head, "webhook-id"),
        timestamp: header(&head, "webhook-timestamp"),
        signature: header(&head, "webhook-signature"),
        body: serde_json::from_slice(&bytes).unwrap(),
        bytes,
    });
    let status = status.load(Ordering::SeqCst);
    if status == SILENCE {
        std::future::pending::<()>().await;
    }
    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn header(head: &str, name: &str) -> String {
    let line = head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name));
    line.map(|(_, value)| value.to_owned()).unwrap_or_default()
}
