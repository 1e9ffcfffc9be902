//! What every adapter of the stores must do. Each suite is a function over the port; here they run on SQLite, on PostgreSQL,
//! and on two replicas that share a PostgreSQL, with every other call going to the other one.

mod failures;
mod keys;
mod on_postgres;
mod users;

use std::sync::Arc;

use auth::store::sqlite::SqliteAuth;

use self::on_postgres::{Replicas, a_database, a_store};
use crate::given::open;

macro_rules! on_every_store {
    ($($suite:ident: $($promise:ident)+;)+) => {
        mod sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let folder = tempfile::tempdir().unwrap();
                    let store = super::SqliteAuth::new(super::open(folder.path()));
                    super::$suite::$promise(super::Arc::new(store)).await;
                }
            )+)+
        }
        mod postgres {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let database = super::a_database().await;
                    let store = super::a_store(&database).await;
                    super::$suite::$promise(super::Arc::new(store)).await;
                }
            )+)+
        }
        mod replicas {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let database = super::a_database().await;
                    let replicas = super::Replicas::of(&database).await;
                    super::$suite::$promise(super::Arc::new(replicas)).await;
                }
            )+)+
        }
    };
}

on_every_store! {
    users:
        the_first_person_is_user_2_even_before_the_hot_wallet_is_there
        the_hot_wallet_is_user_1_once_and_has_no_credentials
        of_many_who_add_the_hot_wallet_at_once_one_does
        names_and_addresses_are_unique_whatever_their_case
        a_refused_user_leaves_no_trace
        a_user_is_read_as_registered_and_credentials_by_lower_case_name
        what_can_be_nobody_s_name_has_no_credentials
        of_fifty_who_want_one_name_at_once_one_gets_it
        fifty_who_register_at_once_get_the_next_fifty_numbers;
    keys:
        the_first_to_ask_makes_the_key_and_all_others_get_it
        an_old_key_is_replaced_once_however_many_look
        a_retired_key_goes_after_its_last_token
        keys_are_bounded;
    failures:
        the_account_closes_at_the_limit_and_opens_after_the_window
        a_success_forgets_failures_and_accounts_do_not_share_them
        at_once_no_more_than_the_limit_are_told;
}
