//! The endpoint in this process, without a socket: what `--target local` speaks to.

use std::sync::Arc;

use build_engine::network::Outbound;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method};
use local_azure::{Body, Content, LocalAzure, Options, Request};
use serde_json::{Value, json};

const ORIGIN: &str = "https://local.invalid";

struct Client {
    azure: Arc<LocalAzure>,
    headers: HeaderMap,
    _folder: tempfile::TempDir,
}

impl Client {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            state: folder.path().join("state"),
            cache: folder.path().join("cache"),
            outbound: Outbound::default(),
            subscription: None,
            azurite: None,
        };
        let azure = LocalAzure::open(options, Box::new(|_| ())).expect("it opens");
        let mut client = Self { azure, headers: HeaderMap::new(), _folder: folder };
        let secrets = client.azure.secrets();
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            secrets.client_id, secrets.client_secret
        );
        let (status, answer) = client.send("POST", "/adfs/oauth2/token", form.as_bytes());
        assert_eq!(status, 200, "{answer}");
        let token = format!("Bearer {}", answer["access_token"].as_str().expect("a token"));
        client.headers.insert(AUTHORIZATION, HeaderValue::from_str(&token).expect("a header"));
        client
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let method: Method = method.parse().expect("a method");
        let response = self.azure.handle(Request {
            method,
            path: path.to_owned(),
            query: "api-version=2024-03-01".to_owned(),
            headers: self.headers.clone(),
            origin: ORIGIN.to_owned(),
            body: Body::Bytes(body.to_vec()),
        });
        let Content::Bytes(bytes) = response.body else { panic!("a file") };
        (response.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let path = format!("/subscriptions/{}{path}", self.azure.secrets().subscription);
        self.send(method, &path, body.to_string().as_bytes())
    }
}

#[test]
fn a_template_is_deployed_without_a_socket() {
    let client = Client::new();
    client.call("POST", "/providers/Microsoft.Network/register", &json!({}));
    let (status, group) = client.call("PUT", "/resourceGroups/rg", &json!({ "location": "eastus2" }));
    assert_eq!(status, 201, "{group}");
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [{
            "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-05-01", "name": "net",
            "location": "[resourceGroup().location]",
            "properties": { "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] } },
        }],
        "outputs": { "id": { "type": "string", "value": "[resourceId('Microsoft.Network/virtualNetworks', 'net')]" } },
    });
    let deployment = "/resourceGroups/rg/providers/Microsoft.Resources/deployments/net";
    let body = json!({ "properties": { "mode": "Incremental", "template": template } });
    let (status, made) = client.call("PUT", deployment, &body);
    assert_eq!(status, 201, "{made}");
    let state = || client.call("GET", deployment, &Value::Null).1["properties"].clone();
    let ended = std::iter::repeat_with(state)
        .find(|shown| !matches!(shown["provisioningState"].as_str(), Some("Accepted" | "Running")))
        .expect("it ends");
    assert_eq!(ended["provisioningState"], "Succeeded", "{ended}");
    let id = ended["outputs"]["id"]["value"].as_str().expect("an id");
    let (status, network) = client.send("GET", id, &[]);
    assert_eq!((status, &network["location"]), (200, &json!("eastus2")), "{network}");

    // Nobody is let in because there is no socket.
    let stranger = Client { headers: HeaderMap::new(), ..client };
    assert_eq!(stranger.send("GET", id, &[]).0, 401);
}
