//! What every service needs around its routes: settings, telemetry, problems, authentication, shutdown
