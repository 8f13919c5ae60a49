"""RabbitMQ: events for other programs, hosts that use AMQP, commands to hosts."""
