use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest_ring::dns::{Addrs, Name, Resolve, Resolving};
use reqwest_ring::redirect;
use reqwest_ring::{Client, Url};

use crate::{SendError, is_public};

const TIMEOUT: Duration = Duration::from_secs(10);

/// What may be called. The default is for the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    /// Also `http`, for local networks.
    pub allow_http: bool,
    /// Also private and local addresses, for local networks.
    pub allow_private: bool,
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Addrs = Box::new(addresses.collect::<Vec<_>>().into_iter());
            Ok(addresses)
        })
    }
}

/// Lets through what the policy allows of another resolver's answers. It runs when the connection
/// is made, and what it lets through is what is connected to.
struct Filter {
    resolver: Arc<dyn Resolve>,
    policy: Policy,
}

/// All addresses of a name were refused.
#[derive(Debug)]
struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not on the public internet")
    }
}

impl Error for NotPublic {}

impl Resolve for Filter {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, policy) = (Arc::clone(&self.resolver), self.policy);
        Box::pin(async move {
            let allowed: Vec<SocketAddr> = resolver
                .resolve(name)
                .await?
                .filter(|address| policy.allow_private || is_public(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

/// Sends signed messages.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
    policy: Policy,
}

impl Sender {
    /// With the operating system's resolver.
    ///
    /// # Errors
    /// [`SendError::Client`] when TLS cannot be set up.
    pub fn new(policy: Policy) -> Result<Self, SendError> {
        Self::with_resolver(policy, Arc::new(SystemResolver))
    }

    /// With another resolver, whose answers are filtered alike.
    ///
    /// # Errors
    /// [`SendError::Client`] when TLS cannot be set up.
    pub fn with_resolver(policy: Policy, resolver: Arc<dyn Resolve>) -> Result<Self, SendError> {
        let client = Client::builder()
            .dns_resolver(Arc::new(Filter { resolver, policy }))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            // A kept connection would outlive the check of its address.
            .pool_max_idle_per_host(0)
            .user_agent("roadstead-webhooks/1")
            .build();
        Ok(Self { client: client.map_err(|_| SendError::Client)?, policy })
    }

    /// Refuses what can be refused before a name is resolved.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn check_url(&self, url: &str) -> Result<Url, SendError> {
        let url = Url::parse(url).map_err(|_| SendError::InvalidUrl)?;
        let host = url.host_str().ok_or(SendError::InvalidUrl)?;
        if url.scheme() != "https" && !(self.policy.allow_http && url.scheme() == "http") {
            return Err(SendError::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SendError::Credentials);
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if literal.is_ok_and(|address| !self.policy.allow_private && !is_public(address)) {
            return Err(SendError::NotPublic);
        }
        Ok(url)
    }

    /// Posts `body` with these headers; any answer but 2xx is an error.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<(), SendError> {
        let mut request = self.client.post(self.check_url(url)?).body(body);
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        // The answer's body is not read.
        let status = request.send().await.map_err(|error| reason(&error))?.status();
        if status.is_success() { Ok(()) } else { Err(SendError::Status(status.as_u16())) }
    }
}

fn reason(error: &reqwest_ring::Error) -> SendError {
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(inner) = source {
        if inner.is::<NotPublic>() {
            return SendError::NotPublic;
        }
        source = inner.source();
    }
    if error.is_timeout() { SendError::Timeout } else { SendError::Unreachable }
}
