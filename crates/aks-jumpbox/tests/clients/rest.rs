//! A client that sends what it is told to, with the story's certificate and a token.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, http};

use crate::story::Story;

/// The version of the interface that requests name unless they say otherwise.
pub const VERSION: &str = "api-version=2024-05-01";

/// A client.
#[derive(Clone)]
pub struct Rest<'a> {
    story: &'a Story,
    agent: Agent,
    pub token: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

/// An agent that trusts an endpoint and takes every answer as one.
pub fn agent(pem: &[u8]) -> Agent {
    let certificate = Certificate::from_pem(pem).expect("a certificate");
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build();
    let config = Agent::config_builder().tls_config(tls).http_status_as_error(false).proxy(None);
    config.build().new_agent()
}

impl<'a> Rest<'a> {
    pub fn new(story: &'a Story) -> Self {
        let agent = agent(&std::fs::read(story.serve.ca()).expect("read"));
        let mut rest = Self { story, agent, token: String::new() };
        let (client, secret) = (story.serve.told("client_id"), story.serve.told("client_secret"));
        let token = rest.log_in(client, secret);
        rest.token.push_str(token["access_token"].as_str().expect("a token"));
        story.secret(&rest.token);
        rest
    }

    /// The answer of the token endpoint.
    pub fn log_in(&self, client: &str, secret: &str) -> Value {
        self.log_in_for(&(client, secret), "https://management.azure.com/.default")
    }

    /// The same, for a scope.
    pub fn log_in_for(&self, (client, secret): &(impl AsRef<str>, impl AsRef<str>), scope: &str) -> Value {
        let url = format!("{}/adfs/oauth2/token", self.story.serve.told("endpoint"));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client.as_ref()),
            ("client_secret", secret.as_ref()),
            ("scope", scope),
        ];
        let mut answer = self.agent.post(url).send_form(form).expect("an answer");
        let text = answer.body_mut().read_to_string().expect("a text");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Sends a request as it is given.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let url = format!("{}{path}", self.story.serve.told("endpoint"));
        let mut request = http::Request::builder().method(method).uri(url);
        if !self.token.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a request");
        let mut answer = self.agent.run(request).expect("an answer");
        let text = answer.body_mut().read_to_string().expect("a text");
        self.story.heard(&text);
        self.story.heard(&format!("{:?}", answer.headers()));
        Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), text }
    }

    /// The answer to a POST without a body that holds a secret, which nobody else is to hear.
    pub fn answer_with_a_secret(&self, path: &str) -> String {
        let url = format!("{}{path}", self.story.serve.told("endpoint"));
        let post = self.agent.post(url).header("Authorization", format!("Bearer {}", self.token));
        let mut answer = post.send("{}").expect("an answer");
        answer.body_mut().read_to_string().expect("a text")
    }

    /// A connection after its handshake, for what no client library sends.
    pub fn raw(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(self.story.serve.ca()).expect("read");
        roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("taken");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions");
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
        let mut socket = self.socket();
        connection.complete_io(&mut socket).expect("shaken hands");
        StreamOwned::new(connection, socket)
    }

    /// A connection without TLS.
    pub fn socket(&self) -> TcpStream {
        let (_, port) = self.story.serve.told("endpoint").rsplit_once(':').expect("a port");
        TcpStream::connect(("127.0.0.1", port.parse().expect("a port"))).expect("connected")
    }

    /// Asks for something below the subscription.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", &self.url(path), &[], &[])
    }

    /// Writes something below the subscription.
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", &self.url(path), &[], body.to_string().as_bytes())
    }

    /// A path below the subscription, with a version.
    pub fn url(&self, path: &str) -> String {
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{}{path}{mark}{VERSION}", self.story.subscription())
    }

    /// A resource group to work in, with networks.
    pub fn group(&self, name: &str) {
        let register = self.url("/providers/Microsoft.Network/register");
        assert_eq!(self.send("POST", &register, &[], &[]).status, 200);
        let answer = self.put(&format!("/resourceGroups/{name}"), &json!({ "location": "eastus2" }));
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The code of an error.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("no code: {self:?}")).to_owned()
    }

    /// A header field as text, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
