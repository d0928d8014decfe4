# kafka.sh: a real Apache Kafka of one node (KRaft, one JVM) for `make demo BROKER=kafka`. Sourced by demo.sh, whose
# background, wait_until, free_port, fail and say it uses; sets bootstrap.

broker_answers() {
    (: >"/dev/tcp/127.0.0.1/$1")
}

start_kafka() {
    local jars client controller dir=$scratch/kafka log=$scratch/broker.log
    jars=$(packaging/kafka-jars.sh) || fail "no jars of Apache Kafka"
    client=$(free_port)
    controller=$(free_port)
    mkdir "$dir"
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$client,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$client
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
PROPERTIES
    local java=(java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData "-Djava.io.tmpdir=$dir"
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$jars/*")
    "${java[@]}" kafka.tools.StorageTool format -t b3V0Ym94ZC1kZW1vLTAwMQ -c "$dir/server.properties" \
        >>"$log" 2>&1 || fail "Kafka cannot format its directory" "$log"
    background "$log" "${java[@]}" kafka.Kafka "$dir/server.properties"
    wait_until 60 Kafka $! "$log" broker_answers "$client"
    bootstrap=127.0.0.1:$client
    "$O/examples/demo/create_topic" "$bootstrap" "$TOPIC" "$PARTITIONS" >>"$log" 2>&1 ||
        fail "Kafka cannot make the topic $TOPIC" "$log"
}
