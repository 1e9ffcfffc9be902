//! Schemas only ever move forward, whole, and are checked before anything is served.

use rusqlite::Connection;
use storage::migrations::SchemaError;
use storage::sqlite::{check, migrate};

use crate::given::{migrations, noon};

#[test]
fn migrating_applies_what_is_missing_once() {
    let mut connection = Connection::open_in_memory().unwrap();
    let all = [migrations()];
    let Err(SchemaError::Behind { number: 1, .. }) = check(&connection, &all) else {
        panic!("nothing is applied yet")
    };
    assert_eq!(migrate(&mut connection, &all, noon()).unwrap(), all[0].list());
    check(&connection, &all).unwrap();
    assert_eq!(migrate(&mut connection, &all, noon()).unwrap(), []);

    let next = u32::try_from(all[0].list().len()).unwrap() + 1;
    let longer = [migrations().then("more", "CREATE TABLE {service}_more (n INTEGER) STRICT")];
    let behind = check(&connection, &longer).unwrap_err();
    assert_eq!(
        behind.to_string(),
        format!("the schema of exchanger lacks migration {next} (more); run `cambist migrate`")
    );
    assert_eq!(migrate(&mut connection, &longer, noon()).unwrap().len(), 1);
    connection.execute("INSERT INTO exchanger_more VALUES (1)", ()).unwrap();
    assert!(
        matches!(check(&connection, &all), Err(SchemaError::Ahead { number, .. }) if number == next),
        "an older program stays out"
    );
}

#[test]
fn a_migration_that_fails_leaves_the_schema_as_it_was() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, &[migrations()], noon()).unwrap();
    let broken = [migrations()
        .then("good", "CREATE TABLE good (n INTEGER)")
        .then("broken", "CREATE TABLE")];
    assert!(matches!(
        migrate(&mut connection, &broken, noon()),
        Err(SchemaError::Database(_))
    ));
    check(&connection, &[migrations()]).unwrap();
    assert!(connection.prepare("SELECT * FROM good").is_err());
}

#[test]
fn an_edited_migration_is_noticed_before_anything_happens() {
    let mut connection = Connection::open_in_memory().unwrap();
    let original = storage::migrations::Migrations::new(contracts::ServiceName::Auth);
    migrate(
        &mut connection,
        &[original.clone().then("one", "CREATE TABLE one (n INTEGER)")],
        noon(),
    )
    .unwrap();
    let edited = [original
        .then("one", "CREATE TABLE one (n TEXT)")
        .then("two", "CREATE TABLE two (n INTEGER)")];
    assert!(matches!(
        migrate(&mut connection, &edited, noon()),
        Err(SchemaError::Edited { number: 1, .. })
    ));
    assert!(connection.prepare("SELECT * FROM two").is_err());
}

#[test]
fn a_service_alone_does_not_mind_its_neighbours_schemas() {
    let mut connection = Connection::open_in_memory().unwrap();
    let neighbour = storage::migrations::Migrations::new(contracts::ServiceName::Auth)
        .then("one", "CREATE TABLE {service}_one (n INTEGER)");
    migrate(&mut connection, &[migrations(), neighbour.clone()], noon()).unwrap();
    check(&connection, &[migrations()]).unwrap();
    check(&connection, &[neighbour]).unwrap();
}
