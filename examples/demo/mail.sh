# mail.sh: the mail of the demo: a real mail server on the loopback that keeps what it gets, the mailer of examples/welcome, and the
# comparison of mails with users. Sourced by demo.sh, whose functions it uses.

# The server reads it whenever it matters, so it is there whole or not at all.
set_mail_server() {
    echo "$1" >"$mail/mode.new"
    mv "$mail/mode.new" "$mail/mode"
}

start_mail_server() {
    local log=$scratch/smtp.log
    mail=$scratch/mail
    mkdir -p "$mail/received"
    set_mail_server accept
    smtp_port=$(free_port)
    background "$log" examples/welcome/smtp_server.py "$mail" "$smtp_port"
    wait_until 10 "the mail server" $! "$log" bash -c ": >/dev/tcp/127.0.0.1/$smtp_port"
}

start_mailer() {
    local log=$scratch/welcome.log
    sql -f examples/welcome/schema.sql -c 'grant select on app_user to mailer' \
        -c 'grant select, insert, update, delete on mail_refused to mailer'
    background "$log" "$O/examples/welcome/welcome" --conninfo "host=$socket dbname=shop user=mailer" \
        --brokers "$bootstrap" --source shop --smtp "smtp://127.0.0.1:$smtp_port" --from welcome@shop.example
    mailer=$!
    wait_until 10 "the mailer" "$mailer" "$log" grep -q 'welcome: started' "$log"
}

mails() {
    find "$mail/received" -type f | wc -l
}

wait_first_mail() {
    wait_until 30 "no mail has come: the mailer" "$mailer" "$scratch/welcome.log" test -e "$mail/received/000000"
}

# Two seconds in which the mail server refuses every mail, while people go on signing up.
fail_mail_server() {
    local before after
    set_mail_server 'refuse 451 rcpt'
    before=$(sql -c 'select count(*) from app_user')
    say "the mail server refuses everything from now on (451); $(mails) mails have gone out so far: the mailer has just begun, for"
    say "a broker gives a new consumer group its partitions only after 3 s, in which further members may join"
    sleep 2
    after=$(sql -c 'select count(*) from app_user')
    ((after > before)) || fail "nobody could sign up while the mail server was failing"
    say "two seconds without mail: $((after - before)) more people signed up, and none of them waited for it"
    set_mail_server accept
    say "the mail server works again"
}

# Every committed user has a mail at the address, and nobody else has one.
compare_mails() {
    local users=$scratch/users recipients=$scratch/recipients all
    sql -c 'select email from app_user' | sort >"$users"
    all_have_mail() {
        find "$mail/received" -type f -exec head -qn 1 {} + | sort -u >"$recipients"
        [[ -z $(comm -23 "$users" "$recipients") ]]
    }
    wait_until 40 "somebody has no mail: the mailer" "$mailer" "$scratch/welcome.log" all_have_mail
    sleep 1 # time for a mail too many to show itself
    all_have_mail
    all=$(mails)
    [[ -z $(comm -13 "$users" "$recipients") ]] || fail "a mail went to somebody who has not signed up" "$scratch/welcome.log"
    printf '\n    welcome mails              %5d  one for each user who is committed\n' "$(wc -l <"$recipients")"
    printf '      missing                  %5d\n' 0
    printf '      to nobody                %5d  (a mail for a sign-up that was rolled back)\n' 0
    printf '      sent twice               %5d  (only when the mailer dies between sending and committing)\n\n' \
        $((all - $(wc -l <"$recipients")))
}

stop_mailer() {
    kill -TERM "$mailer"
    wait_end "$mailer" || fail "the mailer was asked to stop and ended with code $?" "$scratch/welcome.log"
}
