//! What is told of the running processes by those who know nothing but their addresses: the black box's stories, and the Postman
//! collections.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use super::Machine;
use crate::tally::Tally;

/// The services, with the names of their Deployments, in commands and elsewhere.
const SERVICES: [(&str, &str); 6] = [
    ("auth", "auth"),
    ("wallet", "wallet"),
    ("balance", "balance"),
    ("exchanger", "exchanger"),
    ("bc_gateway", "bc-gateway"),
    ("notification", "notification"),
];

impl Machine<'_> {
    fn at(&self, deployment: &str, port: u16) -> String {
        format!("http://{}:{port}", self.address(deployment))
    }

    /// What somebody shows on the internal side.
    fn token(&self, owner: &str) -> String {
        let key = (owner.to_owned(), "internal-token".to_owned());
        self.place.secrets.get(&key).cloned().unwrap_or_default()
    }

    /// Has the stories told by `stories`, a program that finds this world described in a file; how many there were.
    pub(super) fn tell(&self, mut stories: Command) -> Result<u64> {
        let auditor = self.auditor()?;
        let internal: Map<String, Value> = SERVICES
            .iter()
            .map(|(service, deployment)| ((*service).to_owned(), json!(self.at(deployment, 8001))))
            .collect();
        let mut tokens: Map<String, Value> = SERVICES
            .iter()
            .map(|(service, deployment)| ((*service).to_owned(), json!(self.token(deployment))))
            .collect();
        tokens.insert("operator".to_owned(), json!(self.token("operator")));
        let world = json!({
            "public": {"auth": self.at("auth", 8000), "wallet": self.at("wallet", 8000)},
            "internal": internal,
            "tokens": tokens,
            "mail": self.place.volume("notification-worker", "/data").join("mail"),
            "audit": {
                "program": self.program(&auditor.command)?,
                "arguments": auditor.arguments,
                "environment": auditor.environment,
            },
        });
        let file = self.folder.path().join("world.json");
        fs::write(&file, world.to_string())?;
        let output = stories.env("CAMBIST_TEST_WORLD", &file).stdin(Stdio::null()).output();
        let output = output.context("the stories cannot be told")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let erred = String::from_utf8_lossy(&output.stderr);
        let mut tally = Tally::default();
        tally.copy(output.stdout.as_slice(), io::sink(), "")?;
        let well = output.status.success() && tally.passed > 0;
        ensure!(well, "the stories of the black box: {said}{erred}");
        Ok(tally.passed)
    }

    /// Both Postman collections.
    pub(super) fn newman(&self) -> Result<()> {
        let (auth, wallet) = (self.at("auth", 8000), self.at("wallet", 8000));
        let public = vec![
            ("auth_host".to_owned(), auth.clone()),
            ("wallet_host".to_owned(), wallet.clone()),
        ];
        let mut internal = vec![
            ("public_auth".to_owned(), auth),
            ("public_wallet".to_owned(), wallet),
            ("operator_token".to_owned(), self.token("operator")),
            ("wallet_token".to_owned(), self.token("wallet")),
        ];
        for (service, deployment) in SERVICES {
            internal.push((service.to_owned(), self.at(deployment, 8001)));
            internal.push((format!("{service}_host"), self.at(deployment, 8001)));
        }
        for (collection, variables) in [("prj_final", public), ("prj_internal", internal)] {
            let mut newman = Command::new(self.program("newman")?);
            newman.args(["run", "--color", "off", "--reporter-cli-no-success-assertions"]);
            for (name, value) in variables {
                newman.args(["--env-var", &format!("{name}={value}")]);
            }
            let file = self.root.join(format!("tests/{collection}.postman_collection.json"));
            let output = newman.arg(file).stdin(Stdio::null()).output()?;
            let said = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success(), "{collection}: {said}");
        }
        Ok(())
    }
}
