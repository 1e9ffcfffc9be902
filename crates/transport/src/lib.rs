//! How work travels: queues, the outbox dispatcher and the command worker
