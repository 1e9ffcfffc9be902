//! Schemas only ever move forward, whole, and are checked before anything is served.

use contracts::ServiceName;
use storage::migrations::{Migrations, SchemaError};

use super::{an_empty_database, creates, migrations};

#[tokio::test]
async fn migrating_applies_what_is_missing_once() {
    let mut schema = an_empty_database().await;
    let all = [migrations()];
    let Err(SchemaError::Behind { number: 1, .. }) = schema.check(&all).await else {
        panic!("nothing is applied yet")
    };
    assert_eq!(schema.migrate(&all).await.unwrap(), all[0].list());
    schema.check(&all).await.unwrap();
    assert_eq!(schema.migrate(&all).await.unwrap(), []);

    let next = u32::try_from(all[0].list().len()).unwrap() + 1;
    let longer = [migrations().then("more", &creates("more"))];
    let behind = schema.check(&longer).await.unwrap_err();
    assert_eq!(
        behind.to_string(),
        format!("the schema of exchanger lacks migration {next} (more); run `cambist migrate`")
    );
    assert_eq!(schema.migrate(&longer).await.unwrap().len(), 1);
    assert!(schema.has(ServiceName::Exchanger, "more").await);
    for older in [schema.check(&all).await, schema.migrate(&all).await.map(drop)] {
        assert!(
            matches!(older, Err(SchemaError::Ahead { number, .. }) if number == next),
            "an older program stays out"
        );
    }
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_schema_as_it_was() {
    let mut schema = an_empty_database().await;
    schema.migrate(&[migrations()]).await.unwrap();
    let broken = [migrations()
        .then("good", &creates("good"))
        .then("broken", "CREATE TABLE")];
    assert!(matches!(schema.migrate(&broken).await, Err(SchemaError::Database(_))));
    schema.check(&[migrations()]).await.unwrap();
    assert!(!schema.has(ServiceName::Exchanger, "good").await);
}

#[tokio::test]
async fn an_edited_migration_is_noticed_before_anything_happens() {
    let mut schema = an_empty_database().await;
    let original = Migrations::new(ServiceName::Auth);
    schema
        .migrate(&[original.clone().then("one", &creates("one"))])
        .await
        .unwrap();
    let edited = [original.then("one", &creates("eins")).then("two", &creates("two"))];
    assert!(matches!(
        schema.migrate(&edited).await,
        Err(SchemaError::Edited { number: 1, .. })
    ));
    assert!(!schema.has(ServiceName::Auth, "two").await);
}

#[tokio::test]
async fn a_service_alone_does_not_mind_its_neighbours_schemas() {
    let mut schema = an_empty_database().await;
    let neighbour = Migrations::new(ServiceName::Auth).then("one", &creates("one"));
    schema.migrate(&[migrations(), neighbour.clone()]).await.unwrap();
    schema.check(&[migrations()]).await.unwrap();
    schema.check(&[neighbour]).await.unwrap();
}
