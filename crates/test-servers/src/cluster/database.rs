//! The tables of a cluster: a file, a database on a shared server, or a server of its own; and the logins to them.

use std::path::{Path, PathBuf};

use super::{Service, Tables};
use crate::postgres::{Postgres, TestDatabase, administer};

/// The name of the database on a server of a cluster's own.
const NAME: &str = "cambist";

pub(super) enum Database {
    File,
    Shared(TestDatabase),
    Server(Box<Postgres>),
}

impl Database {
    /// Makes it, empty; or what is in `folder`, as it was left.
    pub(super) fn start(tables: Tables, folder: Option<&PathBuf>) -> Result<Self, String> {
        match tables {
            Tables::File => Ok(Self::File),
            Tables::Shared => Ok(Self::Shared(TestDatabase::create())),
            Tables::Server => {
                let server = match folder {
                    Some(folder) => Postgres::start_in(&Path::new(folder).join("postgres"))?,
                    None => Postgres::start()?,
                };
                let create = administer(&server.url(), &[format!("CREATE DATABASE {NAME} TEMPLATE template0")]);
                match create {
                    Err(why) if !why.contains("already exists") => Err(why),
                    Err(_) | Ok(()) => Ok(Self::Server(Box::new(server))),
                }
            }
        }
    }

    /// As whoever owns it.
    pub(super) fn url(&self) -> Option<String> {
        match self {
            Self::File => None,
            Self::Shared(database) => Some(database.url()),
            Self::Server(server) => Some(format!("{}/{NAME}", server.url())),
        }
    }

    /// As a login that is let in to one service's tables and no other's.
    pub(super) fn url_of(&self, service: Service) -> Option<String> {
        let url = self.url()?;
        let (name, login) = (self.name(), login(self.name(), service));
        let (_, at) = url.split_once('@').expect("a user is in the address");
        debug_assert!(at.ends_with(name), "{at}");
        Some(format!("postgres://{login}@{at}"))
    }

    fn name(&self) -> &str {
        match self {
            Self::File | Self::Server(_) => NAME,
            Self::Shared(database) => database.name(),
        }
    }

    /// Makes a login for each service, once there are roles. As an operator would, after the first `cambist migrate`.
    pub(super) fn let_in(&self) -> Result<(), String> {
        let server = match self {
            Self::File => return Ok(()),
            Self::Shared(database) => database.server(),
            Self::Server(server) => &server.url(),
        };
        let name = self.name();
        let logins = Service::ALL.map(|service| {
            let login = login(name, service);
            format!(
                "DO $$ BEGIN
                     IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{login}') THEN
                         CREATE ROLE {login} LOGIN IN ROLE {name}_{};
                     END IF;
                 END $$",
                service.name()
            )
        });
        administer(server, &logins)
    }

    /// The server, if it is the cluster's own.
    pub(super) fn server(&mut self) -> Option<&mut Postgres> {
        match self {
            Self::File | Self::Shared(_) => None,
            Self::Server(server) => Some(server),
        }
    }
}

/// Begins as the service's role does, and goes with it where a test's database goes.
fn login(database: &str, service: Service) -> String {
    format!("{database}_{}_login", service.name())
}
