//! Who may do what: tokens, and where metrics are.

use controlplane::config::{Auth, Secret};

use crate::offer::Offer;
use crate::server::{Server, header, problem};

const TOKEN: &str = "0123456789abcdef";

async fn guarded() -> Server {
    Server::with(|config| config.auth = Auth::Token(Secret::new(TOKEN))).await
}

// W36, E21, H14
#[tokio::test]
async fn every_route_without_the_token_is_401_but_pages_health_and_preflights() {
    let server = guarded().await;
    let session = format!("session/{}", "0".repeat(32));
    let mut routes = vec![("GET", "/api/rooms".to_owned()), ("GET", "/api/rooms/a".to_owned())];
    routes.push(("GET", "/api/status".to_owned()));
    routes.push(("GET", format!("/api/sessions/{}", "0".repeat(32))));
    routes.push(("GET", "/metrics".to_owned()));
    for endpoint in ["/whip/a", "/whep/a", "/api/whip/publish/a", "/api/whep/play/a"] {
        routes.extend([("POST", endpoint.to_owned()), ("GET", endpoint.to_owned())]);
    }
    for base in ["/whip", "/whep", "/api/whip", "/api/whep"] {
        routes.extend(["GET", "PATCH", "DELETE"].map(|method| (method, format!("{base}/{session}"))));
    }
    for (method, path) in routes {
        let response = server.send(method, &path).await;
        assert!(header(&response, "www-authenticate").starts_with("Bearer"), "{method} {path}");
        problem(response, 401, "unauthorized").await;
        assert_eq!(server.send("OPTIONS", &path).await.status(), 200, "{path}");
    }
    for path in ["/", "/publish/a", "/watch/a", "/status", "/assets/whip.js", "/healthz", "/readyz"] {
        assert_eq!(server.send("GET", path).await.status(), 200, "{path}");
    }
    server.stop().await;
}

// W36
#[tokio::test]
async fn the_bearer_token_opens_and_a_wrong_one_does_not() {
    let server = guarded().await;
    let ask = |value: String| server.request("GET", "/api/rooms").header("authorization", value).send();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(ask(format!("{scheme} {TOKEN}")).await.unwrap().status(), 200, "{scheme}");
    }
    for wrong in
        ["Bearer ", "Bearer 0123456789abcdeF", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef", TOKEN]
    {
        let response = ask(wrong.to_owned()).await.unwrap();
        assert!(header(&response, "www-authenticate").contains("invalid_token"), "{wrong}");
        problem(response, 401, "unauthorized").await;
    }
    server.stop().await;
}

// H2
#[tokio::test]
async fn a_session_url_alone_ends_nothing_while_tokens_are_on() {
    let server = guarded().await;
    let request = server.request("POST", "/whip/a").header("content-type", "application/sdp");
    let created = request.bearer_auth(TOKEN).body(Offer::publisher().to_sdp()).send().await.unwrap();
    assert_eq!(created.status(), 201);
    let session = header(&created, "location");
    problem(server.send("DELETE", session).await, 401, "unauthorized").await;
    let deleted = server.request("DELETE", session).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(deleted.status(), 200);
    server.stop().await;
}

// H14
#[tokio::test]
async fn off_loopback_metrics_are_on_their_own_loopback_listener_only() {
    let server = Server::with(|config| {
        config.http_listen = "0.0.0.0:0".parse().unwrap();
        config.metrics_listen = "127.0.0.1:0".parse().unwrap();
        config.auth = Auth::Open;
    })
    .await;
    let metrics = server.running.metrics.unwrap();
    assert!(metrics.ip().is_loopback());
    let page = reqwest::get(format!("http://{metrics}/metrics")).await.unwrap();
    assert_eq!(page.status(), 200);
    problem(server.send("GET", "/metrics").await, 404, "not_found").await;
    server.stop().await;
}
