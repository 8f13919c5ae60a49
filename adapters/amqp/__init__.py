"""RabbitMQ: events to the outside, hosts that speak AMQP, commands to hosts."""
