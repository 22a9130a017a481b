//! `polder cvp login-check`.

use std::time::SystemTime;

use serde_json::json;

use super::reach;
use crate::{
    base::time::Utc,
    cli::{context::Cx, cvp_args::Reach},
    cvp::{Certificate, Client, CvpError, Trust, Why},
};

pub(super) async fn run(cx: &Cx, reach: &Reach) -> anyhow::Result<String> {
    let client = reach::client(cx, reach).await?;
    let mut certificates = Vec::new();
    for node in &client.spec().nodes {
        certificates.push((node.to_string(), Certificate::of(node, client.spec().limits.connect).await));
    }
    let found = look(cx, &client, &certificates).await;
    client.log_out().await;
    found.inspect_err(|error| tell_refused(error, &certificates))
}

async fn look(
    cx: &Cx,
    client: &Client,
    certificates: &[(String, Option<Certificate>)],
) -> anyhow::Result<String> {
    let version = client.version().await?.map(|version| version.to_string());
    let level = client.level().await?.number();
    let user = client.spec().login.user();
    let trust = match &client.spec().trust {
        Trust::System => "an authority this host trusts vouches for it",
        Trust::CaFile(_) | Trust::CaPem(_) => "the given authority vouches for it",
        Trust::Pin(_) => "it is the pinned one",
        Trust::Insecure => "NOT CHECKED",
    };
    if !cx.for_people() {
        let nodes = certificates.iter().map(|(node, certificate)| {
            let certificate = certificate.as_ref().map(|one| {
                json!({
                    "subject": one.subject, "issuer": one.issuer, "names": one.names,
                    "not_before": Utc::from(one.not_before).to_string(),
                    "not_after": Utc::from(one.not_after).to_string(),
                    "sha256": one.sha256, "self_signed": one.is_self_signed(),
                })
            });
            json!({ "node": node, "certificate": certificate })
        });
        return cx.print(&json!({
            "version": version, "level": level, "user": user, "is_cloud": client.spec().is_cloud,
            "certificate_checked": client.spec().trust != Trust::Insecure, "nodes": nodes.collect::<Vec<_>>(),
        }));
    }
    let mut lines = vec![
        format!(
            "version:  {} (API level {level})",
            version.as_deref().unwrap_or("not told, taken for the newest")
        ),
        format!("user:     {}", user.unwrap_or("a service account, by its token")),
    ];
    for (node, certificate) in certificates {
        lines.push(format!("node:     {node}"));
        match certificate {
            None => lines.push("  no certificate: all of it can be read by others".to_owned()),
            Some(one) => {
                lines.extend(facts(one).into_iter().map(|line| format!("  {line}")));
                lines.push(format!("  trusted:     {trust}"));
            }
        }
    }
    Ok(lines.join("\n"))
}

fn facts(one: &Certificate) -> Vec<String> {
    let by = if one.is_self_signed() { "itself".to_owned() } else { one.issuer.clone() };
    let over = if one.not_after < SystemTime::now() { ", which is over" } else { "" };
    vec![
        format!("certificate: {}", one.subject),
        format!("for:         {}", one.names.join(", ")),
        format!("signed by:   {by}"),
        format!("good until:  {}{over}", Utc::from(one.not_after)),
        format!("SHA-256:     {}", one.sha256),
    ]
}

/// Tells what is known of certificates that keep us out: one of them may be the right one.
fn tell_refused(error: &anyhow::Error, certificates: &[(String, Option<Certificate>)]) {
    let Some(CvpError::Login(refusals)) = error.downcast_ref() else { return };
    for (node, _) in refusals.0.iter().filter(|(_, why)| matches!(why, Why::Certificate(_))) {
        let one = certificates.iter().find(|(other, _)| other == node).and_then(|(_, one)| one.as_ref());
        for line in one.map(facts).unwrap_or_default() {
            tracing::info!(target: "polder", "{node} shows {line}");
        }
    }
}
