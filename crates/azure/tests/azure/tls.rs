//! The way over TLS, to an endpoint that answers as Azure does.

use std::sync::Arc;

use azure::{Client, Cloud, ErrorKind, Login, Secret, Tls};
use build_engine::network::Outbound;
use local_azure::{LocalAzure, Options};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Group {
    name: String,
}

#[test]
fn an_endpoint_is_found_trusted_and_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        state: folder.path().join("state"),
        cache: folder.path().join("cache"),
        outbound: Outbound::default(),
        subscription: None,
        azurite: None,
    };
    let local = LocalAzure::open(options, Box::new(|_| {})).expect("opened");
    let server = local_azure::serve(Arc::clone(&local), ([127, 0, 0, 1], 0).into()).expect("served");
    let origin = format!("https://localhost:{}", server.address.port());

    let stranger = Cloud::discover(&origin, &Tls::new(&[]).expect("a way")).expect_err("not trusted");
    assert!(matches!(stranger.kind, ErrorKind::Connection { .. }), "{stranger}");
    let none = folder.path().join("none.pem");
    std::fs::write(&none, "nothing").expect("written");
    assert!(Tls::new(&[none]).is_err());

    let tls = Tls::new(&[local.certificate().to_owned()]).expect("a way");
    let cloud = Cloud::discover(&origin, &tls).expect("found");
    assert_eq!(cloud.resource_manager, origin);
    let secrets = local.secrets();
    let login = |secret: &str| Login::Secret {
        tenant: secrets.tenant.clone(),
        client_id: secrets.client_id.clone(),
        client_secret: Secret::new(secret.to_owned()),
    };
    let wire: Arc<dyn azure::Wire> = Arc::new(tls);
    let client =
        Client::connect(cloud.clone(), &login(&secrets.client_secret), Arc::clone(&wire)).expect("a client");
    let who = client.who().expect("somebody");
    assert_eq!(who.client_id.as_deref(), Some(secrets.client_id.as_str()));
    assert!(who.object_id.is_some() && who.tenant.as_deref() == Some(secrets.tenant.as_str()));

    let id = format!("/subscriptions/{}/resourceGroups/rg", secrets.subscription);
    assert!(client.get::<Group>(&id, "2021-04-01").expect("an answer").is_none());
    let body = std::collections::BTreeMap::from([("location", "eastus2")]);
    let made = client.put::<_, Group>(&id, "2021-04-01", &body).expect("made");
    assert_eq!(made.value.map(|group| group.name).as_deref(), Some("rg"));
    client.delete(&id, "2021-04-01").expect("deleted");

    let wrong = Client::connect(cloud, &login("not the secret"), wire).expect("a client");
    let error = wrong.get::<Group>(&id, "2021-04-01").expect_err("nobody");
    assert!(matches!(error.kind, ErrorKind::Credential { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("not the secret"), "{error}");
    server.stop();
}
