-- A login for each service, a member of its service's role and of no other, and one for the audit; `cambist migrate` has made
-- the roles before.
-- Run again, it gives the logins the passwords that are in the Secrets now.
\getenv audit_password AUDIT_PASSWORD
\getenv auth_password AUTH_PASSWORD
\getenv balance_password BALANCE_PASSWORD
\getenv bc_gateway_password BC_GATEWAY_PASSWORD
\getenv exchanger_password EXCHANGER_PASSWORD
\getenv notification_password NOTIFICATION_PASSWORD
\getenv wallet_password WALLET_PASSWORD

-- Passwords go to no log of the server's, where whoever runs this may say so.
SELECT 'SET LOCAL log_statement = ''none''; SET LOCAL log_min_error_statement = ''panic'''
WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
\gexec

SELECT format('CREATE ROLE %I LOGIN', current_database() || '_' || service || '_login')
FROM unnest(ARRAY['audit', 'auth', 'balance', 'bc_gateway', 'exchanger', 'notification', 'wallet']) AS service
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_database() || '_' || service || '_login')
\gexec

SELECT format('ALTER ROLE %I LOGIN NOINHERIT PASSWORD %L', current_database() || '_' || service || '_login', password)
FROM (VALUES
    ('audit', :'audit_password'),
    ('auth', :'auth_password'),
    ('balance', :'balance_password'),
    ('bc_gateway', :'bc_gateway_password'),
    ('exchanger', :'exchanger_password'),
    ('notification', :'notification_password'),
    ('wallet', :'wallet_password')
) AS logins (service, password)
\gexec

SELECT format('GRANT %I TO %I', current_database() || '_' || service, current_database() || '_' || service || '_login')
FROM unnest(ARRAY['audit', 'auth', 'balance', 'bc_gateway', 'exchanger', 'notification', 'wallet']) AS service
\gexec
