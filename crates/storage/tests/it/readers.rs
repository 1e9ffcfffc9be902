//! Reads beside the writer: of what is committed, on one snapshot, bounded, and none the worse for a query that dies.

use std::sync::mpsc::sync_channel;

use storage::StoreError;
use storage::sqlite::{Database, Options};

use crate::group_commit::{numbers, set, with_a_table};
use crate::sqlite::{open, open_fresh};

fn count(connection: &rusqlite::Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM numbers", (), |row| row.get(0))
}

async fn with_one_reader(folder: &tempfile::TempDir) -> Database {
    let options = Options {
        readers: 1,
        ..Options::default()
    };
    let database = open(folder.path(), options).unwrap();
    with_a_table(&database).await;
    database
}

#[tokio::test]
async fn a_query_sees_one_moment_whatever_is_committed_meanwhile() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    set(&given.database, 1).await.unwrap();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let (go_on, told) = sync_channel::<()>(1);
    let query = given.database.readers().run(move |connection| {
        let before = count(connection)?;
        let _ = entered.send(());
        let _ = told.recv();
        Ok((before, count(connection)?))
    });
    let meanwhile = async {
        inside.await.unwrap();
        set(&given.database, 2).await.unwrap();
        go_on.send(()).unwrap();
    };
    let (seen, ()) = tokio::join!(query, meanwhile);
    assert_eq!(seen, Ok((1, 1)));
    assert_eq!(numbers(&given.database).await, [1, 2]);
}

#[tokio::test]
async fn a_query_cannot_write() {
    let given = open_fresh();
    with_a_table(&given.database).await;
    let write = given
        .database
        .readers()
        .run(|connection| connection.execute("INSERT INTO numbers VALUES (1)", ()));
    assert!(matches!(write.await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_query_that_dies_leaves_its_connection_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let database = with_one_reader(&folder).await;
    for _ in 0..3 {
        let dying = database.readers().run(|connection| -> rusqlite::Result<()> {
            let mut half_read = connection.prepare("SELECT name FROM sqlite_schema")?;
            let _row = half_read.query(())?.next()?.is_some();
            panic!("as arranged")
        });
        assert!(matches!(dying.await, Err(StoreError::Unavailable(_))));
    }
    set(&database, 1).await.unwrap();
    assert_eq!(
        numbers(&database).await,
        [1],
        "of this moment, not of the snapshot that died"
    );
}

#[tokio::test]
async fn a_query_that_finds_no_idle_reader_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let database = with_one_reader(&folder).await;
    let (entered, inside) = tokio::sync::oneshot::channel();
    let (go_on, told) = sync_channel::<()>(1);
    let busy = database.readers().run(move |_| {
        let _ = entered.send(());
        let _ = told.recv();
        Ok(())
    });
    let meanwhile = async {
        inside.await.unwrap();
        let refused = database.readers().run(count).await;
        go_on.send(()).unwrap();
        refused
    };
    let (done, refused) = tokio::join!(busy, meanwhile);
    assert_eq!((done, refused), (Ok(()), Err(StoreError::Overloaded)));
}
